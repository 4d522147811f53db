#!/usr/bin/env python3
"""Records tests/text/goldens/conversations.json: prompts of FastChat's conversation templates, from FastChat itself.

    python3 tests/text/record_conversation_goldens.py path/to/FastChat/fastchat/conversation.py

Only that file of FastChat is run; it needs nothing else. Every template is rendered with its own, another and no system
message, on conversations of one to five turns whose last answer is still open. One prompt of each template is kept as
text, for people who look for a difference; of the others length and FNV-1a hash.
"""

import importlib.util
import json
import pathlib
import sys

OUT = pathlib.Path(__file__).parent / "goldens" / "conversations.json"

# User and assistant in turn. White space at the ends, empty lines and marks that some styles treat specially.
TURNS = [
    "Hello there!",
    "Hi. How can I help?",
    "  请用中文回答：\n\n什么是流水线？\u3000",
    "流水线就是……\r\n\r\n分段处理。",
    "ends with marks <n>",
    "OK",
    "\tone\n\n\ntwo",
    "three ",
    "last question <n>nn>",
]
OTHER_SYSTEM = "Answer briefly.\n请简短回答。"


def fnv1a(data):
    value = 14695981039346656037
    for byte in data:
        value = (value ^ byte) * 1099511628211 % 2**64
    return value


def main():
    spec = importlib.util.spec_from_file_location("conversation", sys.argv[1])
    module = importlib.util.module_from_spec(spec)
    sys.modules["conversation"] = module
    spec.loader.exec_module(module)
    templates = []
    for name in module.conv_templates:
        entry = {"name": name, "prompts": []}
        for system in ("default", "other", "none"):
            for num_questions in range(1, 6):
                conversation = module.get_conv_template(name)
                if system != "default":
                    conversation.set_system_message(OTHER_SYSTEM if system == "other" else "")
                for i, text in enumerate(TURNS[: 2 * num_questions - 1]):
                    conversation.append_message(conversation.roles[i % 2], text)
                conversation.append_message(conversation.roles[1], None)
                try:
                    prompt = conversation.get_prompt()
                except ValueError:  # a template without a style
                    entry["prompts"] = None
                    break
                if system == "other" and num_questions == 2:
                    entry["text"] = prompt
                data = prompt.encode()
                entry["prompts"].append([len(data), f"{fnv1a(data):016x}"])
            if entry["prompts"] is None:
                break
        conversation = module.get_conv_template(name)
        stop = conversation.stop_str
        entry["style"] = getattr(conversation.sep_style, "value", 0)
        entry["stop_strings"] = stop if isinstance(stop, list) else [stop] if stop else []
        entry["stop_token_ids"] = conversation.stop_token_ids or []
        templates.append(entry)
    result = {"turns": TURNS, "other_system": OTHER_SYSTEM, "templates": templates}
    OUT.write_text(json.dumps(result, ensure_ascii=False, indent=None, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{len(templates)} templates")


if __name__ == "__main__":
    main()
