"""Reads `template.yaml`, and says what of it differs on one machine.

Rule: pure, and the only place where the local deployment departs from the template: where code is, and the runtime,
which lets the emulator run the real runtime client. Every other word of the template is deployed as it is.
"""

import copy
from collections.abc import Mapping
from typing import Any

import yaml

type Template = dict[str, Any]

LOCAL_RUNTIME = "provided.al2023"

FUNCTION = "AWS::Serverless::Function"
LAYER = "AWS::Serverless::LayerVersion"
CODE_PROPERTIES = {FUNCTION: "CodeUri", LAYER: "ContentUri"}


class TemplateLoader(yaml.SafeLoader):
    """Reads CloudFormation's short tags: `!Ref x` as {"Ref": "x"}, `!GetAtt a.b` as {"Fn::GetAtt": ["a", "b"]}."""


def construct_intrinsic(loader: TemplateLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    """Return the long form of a short tag."""
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)  # noqa: S101  # YAML has no fourth kind
        value = loader.construct_mapping(node, deep=True)
    if suffix in {"Ref", "Condition"}:
        return {suffix: value}
    return {f"Fn::{suffix}": value.split(".", 1) if suffix == "GetAtt" and isinstance(value, str) else value}


TemplateLoader.add_multi_constructor("!", construct_intrinsic)


def parse(text: str) -> Template:
    """Return the template written in *text*, its short tags in their long form."""
    template: Template = yaml.load(text, TemplateLoader)  # noqa: S506  # a safe loader with tags of its own
    return template


def code_locations(template: Template) -> dict[str, str]:
    """Return the folder of each function and layer, by the resource's name."""
    return {
        name: resource["Properties"][CODE_PROPERTIES[resource["Type"]]]
        for name, resource in template["Resources"].items()
        if resource["Type"] in CODE_PROPERTIES
    }


def localized(template: Template, code: Mapping[str, str]) -> Template:
    """Return *template* with the runtime for one machine, and the code of each function and layer at the address in *code*."""
    local = copy.deepcopy(template)
    local["Globals"]["Function"]["Runtime"] = LOCAL_RUNTIME
    for name, address in code.items():
        resource = local["Resources"][name]
        resource["Properties"][CODE_PROPERTIES[resource["Type"]]] = address
    return local
