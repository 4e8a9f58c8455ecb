"""Checks custom resources on standard input against the definitions in schemas/."""

import json
import pathlib
import sys

import jsonschema
import yaml

SCHEMAS = pathlib.Path(__file__).parent / "schemas"

faults = []
for manifest in yaml.safe_load_all(sys.stdin):
    definition = SCHEMAS / f"{manifest['kind']}.json" if manifest else None
    if definition is None or not definition.exists():
        continue
    schema = json.loads(definition.read_text())
    for fault in jsonschema.Draft7Validator(schema).iter_errors(manifest):
        faults.append(f"{manifest['kind']}/{manifest['metadata']['name']}: {fault.json_path}: {fault.message}")
sys.exit("\n".join(faults) or 0)
