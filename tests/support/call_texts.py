"""The same call as each family of models writes it, without the markers around it."""

import importlib

from workers.tool_calls import GENERIC, GENERIC_FORM, CallForm

WANTED = {"city": "Paris", "days": 3}
OBJECT = '\n{"name": "get_weather", "arguments": {"city": "Paris", "days": 3}}\n'
CALLS = {
    GENERIC: OBJECT.strip(),
    "json_tools": OBJECT,
    "mistral": 'get_weather[ARGS]{"city": "Paris", "days": 3}',
    "pythonic": '[get_weather(city="Paris", days=3)]',
    "qwen3_coder": "\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n"
                   "<parameter=days>\n3\n</parameter>\n</function>\n",
    "kimi_k2": '<|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{"city": "Paris", "days": 3}'
               "<|tool_call_end|>",
    "glm47": "get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n<arg_key>days</arg_key>\n"
             "<arg_value>3</arg_value>\n",
    "longcat": "get_weather\n<longcat_arg_key>city</longcat_arg_key>\n<longcat_arg_value>Paris</longcat_arg_value>\n"
               "<longcat_arg_key>days</longcat_arg_key>\n<longcat_arg_value>3</longcat_arg_value>\n",
    "gemma4": 'call:get_weather{city:<|"|>Paris<|"|>,days:3}',
    "function_gemma": "call:get_weather{city:<escape>Paris<escape>,days:3}",
    "minimax_m2": '\n<invoke name="get_weather">\n<parameter name="city">Paris</parameter>\n'
                  '<parameter name="days">3</parameter>\n</invoke>\n',
    "minicpm5": '"get_weather"><param name="city">Paris</param><param name="days">3</param>',
    "muse_spark": '<atem:invoke name="get_weather"><atem:parameter name="city">"Paris"</atem:parameter>'
                  '<atem:parameter name="days">3</atem:parameter></atem:invoke>',
}
SPECIAL = ("[ARGS]", "<arg_key>", "</arg_key>", '<|"|>', "<|tool_call_begin|>", "<|tool_call_argument_begin|>",
           "<|tool_call_end|>")


def form_of(family: str) -> CallForm:
    if family == GENERIC:
        return GENERIC_FORM
    module = importlib.import_module(f"mlx_lm.tool_parsers.{family}")
    return CallForm(family, module.tool_call_start, module.tool_call_end, module.parse_tool_call)
