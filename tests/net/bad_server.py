#!/usr/bin/env python3
"""A small hub of models on 127.0.0.1 that misbehaves as it is told to. Prints its port; ends when standard input does.

Any request takes the next behaviour of its path's script (POST /control {"path", "script"}), "ok" once that is used up:
  ok                      as it should be
  status:CODE[:RETRY]     that status, with Retry-After: RETRY
  drop:N                  closes the connection N bytes into the body (0: before any header)
  slow:MS                 the body a few bytes at a time, MS milliseconds apart
  hang                    says nothing for five seconds
  corrupt                 the right length, a wrong byte
  longer                  a length and body longer than announced in the listing
  whole                   ignores Range
  shifted                 answers a Range with other bytes than asked for
  loop                    redirects to itself
  redirect:URL            redirects there
  html                    200 with a login page
Paths: /api/..., /REPO/resolve/REV/FILE as a hub has; /echo gives back method, headers and body; /events streams; /log
lists the requests that came, with their headers.
"""
import hashlib
import json
import random
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "README.md": b"# a tiny model\n",
    "config.json": b'{"architectures": ["None"]}\n',
    "empty.txt": b"",
    "model.safetensors": random.Random(7).randbytes(300_000),
    "original/consolidated.pth": random.Random(8).randbytes(50_000),
}
LARGE = {"model.safetensors", "original/consolidated.pth"}
GATED = "lab/gated"
PAGE = 3  # entries of a listing's page

scripts: dict[str, list[str]] = {}
log: list[dict] = []
lock = threading.Lock()


def git_oid(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def entry(path):
    data = FILES[path]
    made = {"type": "file", "path": path, "size": len(data), "oid": git_oid(data)}
    if path in LARGE:
        made["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return made


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.serve()

    do_HEAD = do_PUT = do_DELETE = do_GET

    def do_POST(self):
        self.serve()

    def serve(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urlsplit(self.path)
        if url.path == "/control":
            order = json.loads(self.body)
            with lock:
                scripts[order["path"]] = list(order["script"])
            return self.answer(b"{}")
        if url.path == "/log":
            with lock:
                return self.answer(json.dumps(log).encode())
        with lock:
            log.append({"method": self.command, "path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}})
            script = scripts.get(url.path, [])
            behaviour = script.pop(0) if script else "ok"
        self.behave(url, behaviour)

    def behave(self, url, behaviour):
        kind, _, argument = behaviour.partition(":")
        if kind == "status":
            code, _, retry = argument.partition(":")
            return self.answer(b"not now\n", int(code), {"Retry-After": retry} if retry else {})
        if kind == "loop":
            return self.answer(b"", 302, {"Location": self.path})
        if kind == "redirect":
            return self.answer(b"", 302, {"Location": argument})
        if kind == "html":
            return self.answer(b"<html>please log in</html>", 200, {"Content-Type": "text/html"})
        if kind == "hang":
            time.sleep(5)
            return self.close()
        if kind == "drop" and int(argument) == 0:
            return self.close()
        status, body, headers = self.content(url)
        if kind == "corrupt" and body:
            body = body[:-1] + bytes([body[-1] ^ 1])
        if kind == "longer":
            body += b"more"
        if kind not in ("whole", "longer") and status == 200 and "/resolve/" in url.path:
            status, body, headers = self.ranged(body, headers, 7 if kind == "shifted" else 0)
        if kind == "slow":
            return self.answer_slowly(body, float(argument) / 1000, status, headers)
        self.answer(body, status, headers, int(argument) if kind == "drop" else None)

    def ranged(self, body, headers, shift):
        asked = self.headers.get("Range", "")
        if not asked.startswith("bytes="):
            return 200, body, headers
        first = int(asked[6:].split("-")[0])
        if first >= len(body):
            return 416, b"", headers | {"Content-Range": f"bytes */{len(body)}"}
        first = max(0, first - shift)
        return 206, body[first:], headers | {"Content-Range": f"bytes {first}-{len(body) - 1}/{len(body)}"}

    def content(self, url):
        path = url.path
        if path == "/echo":
            return 200, json.dumps({"method": self.command, "headers": {k.lower(): v for k, v in self.headers.items()}, "body": self.body.decode()}).encode(), {}
        if path == "/events":
            return 200, b"".join(b"data: %d\n\n" % i for i in range(50)), {"Content-Type": "text/event-stream"}
        if path == "/long":
            return 200, b"x" * 1_000_000, {}
        if path.startswith("/api/"):
            return self.api(url)
        if "/resolve/" in path:
            repo, _, rest = path.strip("/").partition("/resolve/")
            file = rest.partition("/")[2]
            if file not in FILES:
                return 404, b"Entry not found", {"X-Error-Code": "EntryNotFound"}
            return 200, FILES[file], {}
        return 404, b"nothing here", {}

    def api(self, url):
        parts = url.path.split("/")  # "", api, models, lab, tiny, revision | tree, REV
        repo = "/".join(parts[3:5])
        if repo == GATED and self.headers.get("Authorization") != "Bearer sesame":
            return 401, b'{"error":"Access to model lab/gated is restricted."}', {"X-Error-Code": "GatedRepo"}
        if repo not in ("lab/tiny", GATED):
            return 401, b'{"error":"Repository not found"}', {"X-Error-Code": "RepoNotFound"}
        revision = parts[6] if len(parts) > 6 else "main"
        if revision not in ("main", COMMIT):
            return 404, b'{"error":"Invalid rev id"}', {"X-Error-Code": "RevisionNotFound"}
        if parts[5] == "revision":
            return 200, json.dumps({"id": repo, "sha": COMMIT}).encode(), {}
        names = sorted(FILES)
        begin = int(parse_qs(url.query).get("cursor", ["0"])[0])
        entries = [entry(name) for name in names[begin : begin + PAGE]] + ([{"type": "directory", "path": "original", "oid": "0" * 40, "size": 0}] if begin == 0 else [])
        headers = {}
        if begin + PAGE < len(names):
            host = f"http://127.0.0.1:{self.server.server_address[1]}"
            headers["Link"] = f'<{host}{url.path}?recursive=true&cursor={begin + PAGE}>; rel="next"'
        return 200, json.dumps(entries).encode(), headers

    def close(self):
        self.close_connection = True

    def answer(self, body, status=200, headers=None, cut=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None and cut < len(body):
            self.close()

    def answer_slowly(self, body, pause, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        step = max(1, len(body) // 20)
        try:
            for begin in range(0, len(body), step):
                self.wfile.write(body[begin : begin + step])
                self.wfile.flush()
                time.sleep(pause)
        except OSError:  # the client has had enough
            self.close()


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):  # clients that hang up are what this is for
        pass


server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
