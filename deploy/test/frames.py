"""Holds the golden frames against the schemas of docs/asyncapi; prints how many fit."""

import json
import pathlib
import sys

import jsonschema
import yaml

ROOT = pathlib.Path(__file__).parents[2]
DOCUMENT = yaml.safe_load((ROOT / "docs/asyncapi/signal.v1.yaml").read_text())
NAMES = {"client": DOCUMENT["operations"]["say"], "server": DOCUMENT["operations"]["tell"]}


def schema_of(side, frame):
    """The one schema of this side whose type is that of the frame."""
    names = [message["$ref"].split("/")[-1] for message in NAMES[side]["messages"]]
    schemas = DOCUMENT["components"]["schemas"]
    [name] = [name for name in names if schemas[name]["properties"]["type"]["const"] == frame["type"]]
    return {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}


def faults(path):
    frame = json.loads(path.read_text())
    schema = schema_of(path.name.split(".")[0], frame)
    found = jsonschema.Draft202012Validator(schema).iter_errors(frame)
    # A schema that takes anything would fit as well.
    strange = jsonschema.Draft202012Validator(schema).is_valid({**frame, "strange": 1})
    return [f"{path.name}: {fault.message}" for fault in found] + ([f"{path.name}: takes anything"] if strange else [])


frames = sorted((ROOT / "crates/signal-protocol/wire").glob("[cs]*.*.json"))
wrong = [fault for path in frames for fault in faults(path)]
print(len(frames))
sys.exit("\n".join(wrong) or 0)
