// Draws the diagrams of a page, where there are some. `path_to_root` is mdBook's.
const diagrams = document.querySelectorAll("pre.mermaid");
if (diagrams.length > 0) {
  const script = document.createElement("script");
  script.src = `${path_to_root}mermaid.tiny.js`;
  script.onload = () => {
    const isDark = ["navy", "coal", "ayu"].some((theme) => document.documentElement.classList.contains(theme));
    mermaid.initialize({ startOnLoad: false, theme: isDark ? "dark" : "default" });
    mermaid.run({ nodes: diagrams });
  };
  document.head.append(script);
}
