import { defineConfig } from "vite";
import react from "@vitejs/plugin-react";
import { mintToken } from "../first-app/token.js";

const { PORT, SIGNAL_URL } = process.env;

/** What your own server does: it signs a token for whoever its session says it is. */
const tokens = {
  name: "tokens",
  configureServer({ middlewares }) {
    middlewares.use("/token", ({ url = "" }, response) => {
      const name = new URL(url, "http://localhost").searchParams.get("name");
      response.end(mintToken(name || "guest", ["demo"]));
    });
  },
};

export default defineConfig({
  plugins: [react(), tokens],
  define: { SIGNAL_URL: JSON.stringify(SIGNAL_URL) },
  // The SDK lies outside this folder, in the same clone.
  server: { port: Number(PORT), strictPort: true, host: "localhost", fs: { allow: ["../.."] } },
});
