import { join } from "node:path";
import { readFileSync, writeFileSync } from "node:fs";
import { run } from "../settings.js";

/**
 * Makes `certificate.pem`, `key.pem`, and both in `signal.pem`. Who trusts the certificate trusts itself alone: it is no authority.
 * @param {string} folder @param {string[]} names of hosts
 */
export function makeCertificate(folder, names) {
  const [key, certificate] = [join(folder, "key.pem"), join(folder, "certificate.pem")];
  const extensions = [`subjectAltName=${names.map((name) => `DNS:${name}`).join()}`, "basicConstraints=critical,CA:FALSE"].flatMap((line) => ["-addext", line]);
  run("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "90", "-subj", `/CN=${names[0]}`, ...extensions, "-keyout", key, "-out", certificate]);
  writeFileSync(join(folder, "signal.pem"), readFileSync(certificate, "utf8") + readFileSync(key, "utf8"), { mode: 0o600 });
}
