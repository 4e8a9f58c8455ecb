import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { mintToken } from "./token.js";

const { PORT, SIGNAL_URL } = process.env;
const PAGES = { "/": ["index.html", "text/html; charset=utf-8"], "/app.js": ["app.js", "text/javascript; charset=utf-8"] };

createServer(async ({ url = "/" }, response) => {
  const { pathname, searchParams } = new URL(url, "http://localhost");
  response.setHeader("cache-control", "no-store");
  if (pathname === "/token") {
    // A real application asks its session who this is, and nobody else.
    response.end(mintToken(searchParams.get("name") || "guest", ["demo"]));
  } else if (pathname === "/config") {
    response.setHeader("content-type", "application/json").end(JSON.stringify({ signalUrl: SIGNAL_URL }));
  } else if (pathname in PAGES) {
    const [file, type] = PAGES[pathname];
    response.setHeader("content-type", type).end(await readFile(new URL(`public/${file}`, import.meta.url)));
  } else {
    response.writeHead(404).end();
  }
}).listen(Number(PORT), "127.0.0.1", () => console.log(`\nOpen http://localhost:${PORT} in two tabs.\n`));
