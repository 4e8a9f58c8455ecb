import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { CHART, find, helm, read, render } from "../../helm/test/render.js";
import { ROOT, fromYaml, inFolder, run } from "./settings.js";

/** The package of the chart: what registries show of it, and who has made it. */

const [ABOUT] = fromYaml(read("Chart.yaml"));
const SCRIPT = join(ROOT, "deploy/package-chart.sh");
const MAKER = "Chart Test <chart@example.org>";

/** A new key, in a file as Helm reads it. @param {string} folder */
function makeKey(folder) {
  const home = join(folder, "gnupg");
  const gpg = (/** @type {string[]} */ ...args) => run("gpg", ["--homedir", home, "--batch", "--pinentry-mode", "loopback", "--passphrase", "", ...args], { encoding: "buffer" });
  run("mkdir", ["-m", "700", home]);
  try {
    gpg("--quick-generate-key", MAKER, "rsa2048", "sign", "never");
    const files = { secret: join(folder, "secret.gpg"), public: join(folder, "public.gpg") };
    writeFileSync(files.secret, gpg("--export-secret-keys"));
    writeFileSync(files.public, gpg("--export"));
    return files;
  } finally {
    run("gpgconf", ["--homedir", home, "--kill", "all"]);
  }
}

test("a package is signed, verified, and refused once it was changed", () => inFolder((folder) => {
  const keys = makeKey(folder);
  run(SCRIPT, [MAKER, keys.secret, folder]);
  const file = join(folder, `signal-cluster-${ABOUT.version}.tgz`);
  assert.match(helm("verify", file, "--keyring", keys.public), /Signed by: Chart Test/);
  const inside = run("tar", ["tzf", file]).split("\n");
  for (const name of ["README.md", "values.schema.json", "coturn.sh", "rules/alerts.yaml"]) assert(inside.includes(`signal-cluster/${name}`), name);
  assert.deepEqual(inside.filter((name) => /\/ci\/|\.test\./.test(name)), []);
  const rendered = [file, CHART].map((chart) => helm("template", "demo", chart, "--set", "auth.jwt.existingSecret=jwt"));
  assert(rendered[0] === rendered[1], "the package renders what the folder does");
  writeFileSync(file, Buffer.concat([readFileSync(file), Buffer.from("x")]));
  assert.throws(() => helm("verify", file, "--keyring", keys.public));
}));

test("without its arguments the recipe says what they are", () => {
  assert.throws(() => run(SCRIPT, []), /package-chart\.sh KEY KEYRING FOLDER/);
});

test("the chart says what registries show: icon, home, sources, maintainers, licence, changes", () => {
  for (const field of ["icon", "home", "sources", "maintainers", "keywords", "description"]) assert(ABOUT[field]?.length > 0, field);
  assert(existsSync(join(ROOT, ABOUT.icon.split("/main/")[1])), "the icon is in this repository");
  const links = fromYaml(ABOUT.annotations["artifacthub.io/links"]).flat();
  for (const { url } of links) assert(existsSync(join(ROOT, url.split("/main/")[1])), url);
  const changes = fromYaml(ABOUT.annotations["artifacthub.io/changes"]).flat();
  for (const { kind, description } of changes) assert(["added", "changed", "deprecated", "removed", "fixed", "security"].includes(kind) && description, kind);
});

test("the chart is of the version of the programs, and names the images that it renders", () => {
  const [, version] = readFileSync(join(ROOT, "Cargo.toml"), "utf8").match(/^version = "(.*)"$/m) ?? [];
  assert.deepEqual([ABOUT.version, ABOUT.appVersion], [version, version]);
  const manifests = render("--set", "redis.bundled=true,turn.mode=deployment,coturn.enabled=true,coturn.relays[0].name=a,coturn.relays[0].externalIp=198.51.100.1");
  const rendered = ["", "-turn", "-coturn-a", "-redis"].map((end) => find(manifests, "Deployment", `demo-signal-cluster${end}`).spec.template.spec.containers[0].image);
  const named = fromYaml(ABOUT.annotations["artifacthub.io/images"]).flat().map((/** @type {{image: string}} */ { image }) => image);
  assert.deepEqual(named.sort(), rendered.sort());
});
