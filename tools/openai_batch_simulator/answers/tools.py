"""Calls of functions: made where a request forces one, with arguments that satisfy its schema.

Rule: a choice that is left to the model is answered with text, as a model may.
"""

from openai_batch_simulator.answers import schemas
from openai_batch_simulator.answers.asked import Asked, BadRequestError, is_object

_ANY_OBJECT: dict[str, object] = {"type": "object", "properties": {}}


def forced_call(asked: Asked) -> tuple[str, str] | None:
    """Return the name and the JSON arguments of the function that must be called, or None where none must.

    Understands the nested tools of chat completions and the flat ones of responses.
    """
    functions = _functions(asked.body.get("tools"))
    choice = asked.body.get("tool_choice", "auto")
    if choice in (None, "auto", "none"):
        return None
    name = _chosen_name(choice)
    if name is None:
        name = next(iter(functions), "")
    if name not in functions:
        raise BadRequestError(f"Tool choice '{name}' is not among the tools.", "tool_choice")
    return name, schemas.instance_text(functions[name], asked.digest)


def _chosen_name(choice: object) -> str | None:
    """Return the name that *choice* demands, or None for whichever the model likes."""
    if choice == "required":
        return None
    function = choice.get("function", choice) if is_object(choice) else None
    if not is_object(function) or not isinstance(function.get("name"), str):
        raise BadRequestError("The simulator does not model this 'tool_choice'.", "tool_choice", "not_simulated")
    return str(function["name"])


def _functions(tools: object) -> dict[str, object]:
    """Return the schema of each function's arguments by its name."""
    functions: dict[str, object] = {}
    for tool in tools if isinstance(tools, list) else ():
        if not is_object(tool) or tool.get("type") != "function":
            raise BadRequestError("The simulator models tools of type 'function' only.", "tools", "not_simulated")
        function = tool.get("function", tool)
        if is_object(function):
            functions[str(function.get("name"))] = function.get("parameters", _ANY_OBJECT)
    return functions
