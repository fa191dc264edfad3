#!/usr/bin/env bash
# libcurl 7.88.1 (Debian 12, x86-64): CURLOPT_TIMEOUT_MS does not bound a request whose name is still being looked up.
#
# Guess:      with a timeout of 200 ms, or a progress callback that says stop, curl_easy_perform() is back soon after.
# Behaviour:  the name is looked up in a thread. At the timeout the request has failed, but its end joins that thread, and
#             getaddrinfo() asks each name server for many seconds. CURLOPT_QUICK_EXIT (since 7.87) leaves the thread alone;
#             it is off unless asked for, and its manual page speaks of the end of the program.
# Seen:       a lookup that takes 3 s: 3 s with the timeout alone, under 1 s with CURLOPT_QUICK_EXIT.
# Met where:  a search whose endpoint's name server was gone ended late, whatever its limit.
# Fails when that changes. Needs gcc, python3 and the shared library of libcurl4; installs nothing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >slow.c <<'CODE'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>
int getaddrinfo(const char* node, const char* service, const struct addrinfo* hints, struct addrinfo** result) {
  if (node && !strcmp(node, "a.name.test")) {
    sleep(3);
    return EAI_AGAIN;
  }
  int (*original)(const char*, const char*, const struct addrinfo*, struct addrinfo**) = dlsym(RTLD_NEXT, "getaddrinfo");
  return original(node, service, hints, result);
}
CODE
gcc -shared -fPIC -o slow.so slow.c
cat >ask.py <<'CODE'
import ctypes, sys, time
curl = ctypes.CDLL("libcurl.so.4")
curl.curl_version.restype = ctypes.c_char_p
curl.curl_easy_init.restype = ctypes.c_void_p
URL, TIMEOUT_MS, NOSIGNAL, QUICK_EXIT = 10002, 155, 99, 322
handle = ctypes.c_void_p(curl.curl_easy_init())
curl.curl_easy_setopt(handle, URL, ctypes.c_char_p(b"http://a.name.test/"))
for option, value in ((TIMEOUT_MS, 200), (NOSIGNAL, 1), (QUICK_EXIT, int(sys.argv[1]))):
    curl.curl_easy_setopt(handle, option, ctypes.c_long(value))
start = time.monotonic()
code = curl.curl_easy_perform(handle)
print(curl.curl_version().decode().split()[0], code, int(time.monotonic() - start))
CODE
alone=$(LD_PRELOAD=$folder/slow.so python3 ask.py 0)
quick=$(LD_PRELOAD=$folder/slow.so python3 ask.py 1)
echo "timeout alone: $alone s; with CURLOPT_QUICK_EXIT: $quick s"  # version, code (28 is a timeout), whole seconds
[ "$alone" = "libcurl/7.88.1 28 3" ] && [ "$quick" = "libcurl/7.88.1 28 0" ] || { echo "the behaviour has changed" >&2; exit 1; }
