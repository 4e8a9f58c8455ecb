import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { reference } from "../values-reference.js";
import { CHART, fromYaml, read } from "./render.js";

/** values.yaml, its schema and its README say the same. */

const SCHEMA = JSON.parse(read("values.schema.json"));
const [VALUES] = fromYaml(read("values.yaml"));

for (const { file, text } of reference()) {
  test(`${file.slice(CHART.length + 1)} is made of the comments of values.yaml`, () => {
    assert(readFileSync(file, "utf8") === text, "make it anew: node helm/values-reference.js");
  });
}

/** Every part of a schema that describes a value, by its path. @param {any} part @param {string} path @returns {[string, any][]} */
function parts(part, path = "") {
  const inside = [...Object.entries(part.properties ?? {}), ...Object.entries(part.items?.properties ?? {})];
  return inside.flatMap(([key, value]) => [[`${path}${key}`, value], ...parts(value, `${path}${key}.`)]);
}

test("editors have a description for every value", () => {
  const silent = parts(SCHEMA).filter(([, { description }]) => !description).map(([path]) => path);
  assert.deepEqual(silent, []);
  assert(parts(SCHEMA).length > 150);
});

/** The paths of what stands in values.yaml, where the schema goes. @param {any} value @param {any} schema @param {string} path @returns {string[]} */
function unknown(value, schema, path = "") {
  if (!schema) return [path];
  if (!schema.properties || value === null || typeof value !== "object") return [];
  return Object.entries(value).flatMap(([key, inside]) => unknown(inside, schema.properties[key], `${path}.${key}`));
}

/** The paths of the schema that values.yaml has not. @param {any} schema @param {any} value @param {string} path @returns {string[]} */
function missing(schema, value, path = "") {
  return Object.entries(schema.properties ?? {}).flatMap(([key, part]) =>
    value?.[key] === undefined ? [`${path}.${key}`] : missing(part, value[key], `${path}.${key}`));
}

test("every value stands in values.yaml and in the schema", () => {
  assert.deepEqual(unknown(VALUES, SCHEMA), []);
  assert.deepEqual(missing(SCHEMA, VALUES), []);
});
