#!/usr/bin/env python3
"""Speaks the three wire formats of language models on 127.0.0.1 and misbehaves as it is told to. Prints its port; ends
when standard input does.

POST /control {"script": [...], "reply": TEXT, "stream": true | false} sets what the next requests get, "ok" once the
script is used up, and what is said; "usage": false leaves token counts out. GET /log gives the requests that came:
[{"path", "headers", "body"}]. Behaviours:
  ok               a whole reply
  status:N[:AFTER] an error with that status (and Retry-After); its message quotes the key that was sent
  cut              the body ends in the middle, the connection with it
  hang[:SECONDS]   a status line, then nothing for so long (5)
  trickle          a byte of a comment every 50 ms, without end
  drip             a letter of a reply every 50 ms, without end
  garbage          200, and bytes that are no JSON
  html             200, and a login page
  giant            a reply without end
  length, refusal, strange   the reply ends for that reason
  error-event      a stream that reports an error half-way
"""
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

state = {"script": [], "reply": "hello", "usage": True}
log = []
lock = threading.Lock()
USAGE_IN, USAGE_OUT = 1000, 200


def chat(reply, finish, stream, usage):
    reason = {"ok": "stop", "length": "length", "refusal": "content_filter", "strange": "banana"}[finish]
    count = {"usage": {"prompt_tokens": USAGE_IN, "completion_tokens": USAGE_OUT}} if usage else {}
    if not stream:
        return {"choices": [{"message": {"content": reply}, "finish_reason": reason}], **count}
    events = [{"choices": [{"delta": {"content": piece}}]} for piece in pieces(reply)]
    events += [{"choices": [{"delta": {}, "finish_reason": reason}]}, {"choices": [], **count}]
    return [(None, event) for event in events] + [(None, "[DONE]")]


def responses(reply, finish, stream, usage):
    kind = "refusal" if finish == "refusal" else "output_text"
    part = {"type": kind, ("refusal" if kind == "refusal" else "text"): reply}
    whole = {"status": "incomplete" if finish == "length" else "completed", "output": [{"type": "message", "content": [part]}]}
    if finish == "length":
        whole["incomplete_details"] = {"reason": "max_output_tokens"}
    if usage:
        whole["usage"] = {"input_tokens": USAGE_IN, "output_tokens": USAGE_OUT}
    if not stream:
        return whole
    delta = "response.refusal.delta" if kind == "refusal" else "response.output_text.delta"
    events = [{"type": delta, "delta": piece} for piece in pieces(reply)]
    events.append({"type": "response.incomplete" if finish == "length" else "response.completed", "response": whole})
    return [(event["type"], event) for event in events]


def messages(reply, finish, stream, usage):
    reason = {"ok": "end_turn", "length": "max_tokens", "refusal": "refusal", "strange": "banana"}[finish]
    count_in = {"usage": {"input_tokens": USAGE_IN - 300, "cache_read_input_tokens": 300, "output_tokens": 1}} if usage else {}
    count_out = {"usage": {"output_tokens": USAGE_OUT}} if usage else {}
    if not stream:
        whole = {"type": "message", "content": [{"type": "text", "text": reply}], "stop_reason": reason}
        if usage:
            whole["usage"] = count_in["usage"] | count_out["usage"]
        return whole
    events = [{"type": "message_start", "message": {**count_in}}, {"type": "content_block_start", "index": 0}]
    events += [{"type": "content_block_delta", "delta": {"type": "text_delta", "text": piece}} for piece in pieces(reply)]
    events += [{"type": "ping"}, {"type": "message_delta", "delta": {"stop_reason": reason}, **count_out}, {"type": "message_stop"}]
    return [(event["type"], event) for event in events]


def pieces(text):
    return [text[i : i + 7] for i in range(0, len(text), 7)]


FORMATS = {"/v1/chat/completions": chat, "/v1/responses": responses, "/v1/messages": messages}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        with lock:
            self.answer(json.dumps(log).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/control":
            with lock:
                state.update(json.loads(body))
                log.clear()
            return self.answer(b"{}")
        with lock:
            log.append({"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}, "body": json.loads(body)})
            behaviour = state["script"].pop(0) if state["script"] else "ok"
        self.behave(behaviour, json.loads(body).get("stream", False))

    def behave(self, behaviour, stream):
        kind, _, argument = behaviour.partition(":")
        if kind == "status":
            code, _, after = argument.partition(":")
            key = self.headers.get("Authorization", "") + self.headers.get("x-api-key", "")
            return self.answer(json.dumps({"error": {"message": "no: " + key}}).encode(), int(code), {"Retry-After": after} if after else {})
        if kind == "garbage":
            return self.answer(b'{"choices": [{"message"')
        if kind == "html":
            return self.answer(b"<html>log in</html>", headers={"Content-Type": "text/html"})
        if kind in ("hang", "trickle", "drip", "giant"):
            return self.endless(kind, stream, float(argument or 5))
        make = FORMATS.get(self.path)
        if make is None:
            return self.answer(b'{"error": {"message": "no such path"}}', 404)
        with lock:
            reply, usage = state["reply"], state["usage"]
        made = make(reply, kind if kind in ("length", "refusal", "strange") else "ok", stream, usage)
        if stream and kind == "error-event":
            made = made[: len(made) // 2] + [("error", {"type": "error", "error": {"message": "overloaded"}})]
        content = self.events(made) if stream else json.dumps(made).encode()
        headers = {"Content-Type": "text/event-stream" if stream else "application/json"}
        self.answer(content, headers=headers, cut=len(content) // 2 if kind == "cut" else None)

    def events(self, made):
        text = ""
        for name, data in made:
            text += (f"event: {name}\n" if name else "") + "data: " + (data if isinstance(data, str) else json.dumps(data)) + "\n\n"
        return text.encode()

    def endless(self, kind, stream, seconds):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if stream else "application/json")
        self.send_header("Content-Length", str(1 << 40))
        self.end_headers()
        self.close_connection = True
        try:
            if kind == "hang":
                self.wfile.flush()
                time.sleep(seconds)
            letter = b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n' if kind == "drip" else b":"
            for _ in range(400 if kind in ("trickle", "drip") else 0):
                self.wfile.write(letter)
                self.wfile.flush()
                time.sleep(0.05)
            piece = b'data: {"choices": [{"delta": {"content": "' + b"x" * 65536 + b'"}}]}\n\n'
            for _ in range(2000 if kind == "giant" else 0):
                self.wfile.write(piece)
        except OSError:  # the client has had enough
            pass

    def answer(self, body, status=200, headers=None, cut=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):  # clients that hang up are what this is for
        pass


server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
