import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { relative } from "node:path";
import ts from "typescript";

/**
 * Writes docs/reference/sdk.md: what the modules of the package export, with the types that TypeScript sees and the first words of
 * each comment.
 *
 *   node build/reference.js           writes the page
 *   node build/reference.js --check   fails if it is not what the sources give
 */

const ROOT = new URL("../", import.meta.url);
const PAGE = new URL("../docs/reference/sdk.md", ROOT);
const MODULES = ["index", "channels", "files", "rpc", "stats", "protocol"];
/** Of this module the frames are docs/PROTOCOL.md's. */
const VALUES_ALONE = "protocol";
/** Types of the inside that JSDoc exports all the same. */
const INSIDE = ["Queued", "Pending", "Sample", "Requests", "Link", "HeldChannel", "ServerFrame"];

const HEAD = `# SDK

Made by \`npm run reference\` in \`client/\` from the types of the package, and checked by \`make check\`. [client/README.md](../../client/README.md) explains
how the parts are used, and [the protocol](../PROTOCOL.md) what is on the wire. What emits events has \`on(name, listener)\`, which returns a function that removes the listener, \`once\` and \`off\`.
`;

const file = (/** @type {string} */ module) => fileURLToPath(new URL(`src/${module}.js`, ROOT));
const { config } = ts.readConfigFile(fileURLToPath(new URL("tsconfig.json", ROOT)), ts.sys.readFile);
const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, fileURLToPath(ROOT));
const program = ts.createProgram(MODULES.map(file), options);
const checker = program.getTypeChecker();

const FLAGS = ts.TypeFormatFlags.NoTruncation | ts.TypeFormatFlags.UseAliasDefinedOutsideCurrentScope;
/** @param {ts.Type} type */
const typeText = (type) => checker.typeToString(type, undefined, FLAGS);
/** As code in a table. @param {string} text */
const code = (text) => `\`${text.replaceAll("\n", " ").replaceAll("|", "\\|")}\``;

/** The first sentence of a comment. @param {ts.Symbol} symbol */
function summary(symbol) {
  const text = ts.displayPartsToString(symbol.getDocumentationComment(checker)).split("\n\n")[0].replace(/\s+/g, " ").trim();
  return (/^.*?[.](?= |$)/.exec(text)?.[0] ?? text).replaceAll("|", "\\|");
}

/** @param {ts.Symbol} symbol @param {string} tag */
const hasTag = (symbol, tag) => symbol.getJsDocTags(checker).some(({ name }) => name === tag);

/** A method or function with its parameters; a property with its type. @param {ts.Symbol} symbol */
function signature(symbol) {
  const type = checker.getTypeOfSymbol(symbol);
  const [call] = type.getCallSignatures();
  if (!call || !(symbol.flags & (ts.SymbolFlags.Method | ts.SymbolFlags.Function))) return `${symbol.name}: ${typeText(type)}`;
  return symbol.name + checker.signatureToString(call, undefined, FLAGS).replace(/\): (?=[^:]*$)/, ") → ");
}

/** Members that a class has itself and says something of. @param {ts.Type} instance */
function members(instance) {
  return instance.getProperties().filter((symbol) => {
    const [place] = symbol.declarations ?? [];
    const isOwn = place && !place.getSourceFile().fileName.endsWith("events.js") && !place.getSourceFile().isDeclarationFile;
    const isPublic = !symbol.name.startsWith("#") && !symbol.name.startsWith("__") && !["internal", "package", "protected", "private"].some((tag) => hasTag(symbol, tag));
    return isOwn && isPublic && summary(symbol) !== "";
  });
}

/** @param {string} head @param {string[][]} rows */
const table = (head, rows) => (rows.length === 0 ? "" : `\n| ${head} | |\n|---|---|\n${rows.map(([name, text]) => `| ${name} | ${text} |`).join("\n")}\n`);

/** @param {ts.Symbol} symbol */
function classText(symbol) {
  const instance = checker.getDeclaredTypeOfSymbol(symbol);
  const [base] = checker.getBaseTypes(/** @type {ts.InterfaceType} */ (instance));
  const [events] = base?.symbol.name === "Emitter" ? checker.getTypeArguments(/** @type {ts.TypeReference} */ (base)) : [];
  const described = (/** @type {ts.Symbol} */ event) => [code(event.name), [code(typeText(checker.getTypeOfSymbol(event))), summary(event)].filter(Boolean).join(" ")];
  const rows = members(instance).map((member) => [code(signature(member)), summary(member)]);
  return table("member", rows) + table("event", (events?.getProperties() ?? []).map(described));
}

/** @param {ts.Symbol} symbol */
function exported(symbol) {
  const real = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  const title = `\n### ${symbol.name}\n`;
  const head = `${title}\n${summary(real)}\n`;
  if (real.flags & ts.SymbolFlags.Class) return head + classText(real);
  if (real.flags & ts.SymbolFlags.Function) return `${head}\n\`\`\`ts\n${signature(real)}\n\`\`\`\n`;
  return real.flags & ts.SymbolFlags.TypeAlias ? typeDefinition(title, real) : head;
}

/** A named type, unless it names a class. The comment of a file is no text of the types in it. @param {string} head @param {ts.Symbol} symbol */
function typeDefinition(head, symbol) {
  const type = checker.getDeclaredTypeOfSymbol(symbol);
  if (INSIDE.includes(symbol.name) || (type.symbol && type.symbol.flags & ts.SymbolFlags.Class)) return "";
  const fields = type.getFlags() & ts.TypeFlags.Object ? type.getProperties() : [];
  if (fields.length === 0) return `${head}\n\`\`\`ts\n${checker.typeToString(type, undefined, FLAGS | ts.TypeFormatFlags.InTypeAlias)}\n\`\`\`\n`;
  return head + table("field", fields.map((field) => [code(signature(field)), summary(field)]));
}

/** @param {string} module */
function chapter(module) {
  const source = /** @type {ts.SourceFile} */ (program.getSourceFile(file(module)));
  const symbol = checker.getSymbolAtLocation(source);
  const name = module === "index" ? "@signal-cluster/client" : `@signal-cluster/client/${module}`;
  const all = symbol ? checker.getExportsOfModule(symbol).filter(({ flags }) => module !== VALUES_ALONE || !(flags & ts.SymbolFlags.TypeAlias)) : [];
  return `\n## ${name}\n\nIn \`${relative(fileURLToPath(new URL("../", ROOT)), file(module))}\`.\n${all.map(exported).join("")}`;
}

/** Types that are named and are no export of a module: from whatever file of the SDK. @param {string} page @returns {string} */
function furtherTypes(page) {
  const ours = program.getSourceFiles().filter(({ fileName }) => fileName.includes("/client/src/"));
  const all = ours.flatMap((source) => checker.getExportsOfModule(/** @type {ts.Symbol} */ (checker.getSymbolAtLocation(source))));
  // A type that only names a class is left out; a class has the name where no type has it.
  const isClass = (/** @type {ts.Symbol} */ { flags }) => Boolean(flags & ts.SymbolFlags.Class);
  const types = all.filter((symbol) => symbol.flags & ts.SymbolFlags.TypeAlias && typeDefinition("", symbol) !== "");
  const known = new Map([...all.filter(isClass), ...types].map((symbol) => [symbol.name, symbol]));
  const spans = [...page.matchAll(/`([^`]+)`|^```ts\n([\s\S]*?)```/gm)].map(([, span, block]) => span ?? block).join("\n");
  const named = new Set([...spans.matchAll(/\b[A-Z]\w+/g)].map(([name]) => name));
  const missing = [...named].filter((name) => known.has(name) && !INSIDE.includes(name) && !page.includes(`\n### ${name}\n`)).sort();
  const text = missing.map((name) => exported(/** @type {ts.Symbol} */ (known.get(name)))).join("");
  return text && text + furtherTypes(page + text);
}

const chapters = `${HEAD}${MODULES.map(chapter).join("")}`;
const text = `${chapters}\n## Further types\n\nWhat the parts above name.\n${furtherTypes(chapters)}`.replace(/\n{3,}/g, "\n\n");
if (!process.argv.includes("--check")) await writeFile(PAGE, text);
else if ((await readFile(PAGE, "utf8").catch(() => "")) !== text) {
  console.error('docs/reference/sdk.md is not what client/src gives: run "npm run reference" in client/ and commit the page');
  process.exitCode = 1;
}
