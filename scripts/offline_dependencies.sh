#!/usr/bin/env bash
# Packs what building needs besides a compiler, CMake, ninja, CUDA and PyTorch, for a machine where nothing can be installed, a
# GPU node without a network say: headers, static libraries and CMake files of the packages that scripts/setup.sh installs here.
#   scripts/offline_dependencies.sh ARCHIVE.tgz
# There (docs/install.md): tar -xzf ARCHIVE.tgz -C FOLDER, then CPLUS_INCLUDE_PATH=FOLDER/usr/include cmake ...
#   -DCMAKE_PREFIX_PATH="FOLDER/usr;$(python3 -c 'import torch; print(torch.utils.cmake_prefix_path)')"
# Everything is static: a worker in its jail is handed no library path. libcurl is built from Debian's source, http and https
# alone, since Debian's own library needs thirty others. About 8 MB; two minutes on two cores.
set -euo pipefail
archive=$(realpath -m "${1:?usage: offline_dependencies.sh ARCHIVE.tgz}")
cd "$(dirname "$0")/.."
source_root=$PWD
arch=$(gcc -dumpmachine)
from=/usr/lib/$arch
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/usr
include=$root/include
lib=$root/lib/$arch
mkdir -p "$include/curl" "$lib/cmake" "$lib/pkgconfig" "$root/share/cmake" "$root/lib/cmake/CURL"

# Boost is large: the headers that our sources read, and those of its libraries that read others by the platform.
boost() {
  local files
  mapfile -t files < <(git grep -lE '#include <boost/' -- '*.cpp' '*.h')
  printf '#include "%s"\n' "${files[@]/#/$source_root/}" | grep '\.h"' >"$work/all.cpp"
  printf '%s\n' "${files[@]}" | grep '\.cpp$' | sed "s|^|$source_root/|" >"$work/units"
  { g++ -std=c++20 -I. -M "$work/all.cpp" && xargs -n 1 g++ -std=c++20 -I. -M <"$work/units"; } |
    tr ' \\' '\n\n' | sed -n 's|^/usr/include/\(boost/.*\)|\1|p' | sort -u
  for library in asio beast process config predef core system smart_ptr type_traits assert; do
    (cd /usr/include && find "boost/$library" -type f)
  done
}
boost | sort -u >"$work/boost"
(cd /usr/include && xargs cp --parents -t "$include" <"$work/boost")
# std::exchange, which later compilers bring with no other header.
sed -i "0,/^#include/s//#include <utility>\n#include/" "$include/boost/asio/awaitable.hpp"

(cd /usr/include && cp -r nlohmann CLI openssl gtest gmock sqlite3.h sqlite3ext.h pcre2.h utf8proc.h seccomp.h \
  seccomp-syscalls.h "$include" && cp "$arch"/openssl/* "$include/openssl/")
for name in sqlite3 crypto ssl pcre2-8 utf8proc seccomp boost_filesystem boost_system gtest gtest_main gmock gmock_main; do
  cp "$from/lib$name.a" "$lib"
done
cp -r "$from"/cmake/{Boost-*,BoostDetectToolset-*,boost_headers-*,boost_filesystem-*,boost_system-*,GTest} "$lib/cmake"
rm -f "$lib"/cmake/boost_*/*variant-shared.cmake  # the static one is taken then
cp -r /usr/share/cmake/{nlohmann_json,CLI11} "$root/share/cmake"
cp "$from"/pkgconfig/{sqlite3,libcrypto,libssl,openssl,libpcre2-8,libutf8proc,libseccomp,gtest,gmock}.pc "$lib/pkgconfig"
sed -i 's|^prefix=.*|prefix=${pcfiledir}/../../..|' "$lib"/pkgconfig/*.pc

cd "$work"
sed -e 's/^Types: deb$/Types: deb-src/' -e 's/^deb /deb-src /' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null \
  >"$work/all.sources" || true
mkdir -p "$work/lists/partial"
apt=(-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work" -o Dir::State::Lists="$work/lists")
apt-get "${apt[@]}" update -qq 2>/dev/null
apt-get "${apt[@]}" source -qq --download-only curl 2>/dev/null
mkdir curl
tar -xf "$(find . -name 'curl_*.orig.tar.*' ! -name '*.asc')" -C curl --strip-components=1
cd curl
without=(zlib brotli zstd libidn2 libpsl nghttp2 librtmp libssh2)
disabled=(shared ldap ldaps ftp file dict telnet tftp pop3 imap smb smtp gopher mqtt rtsp manual)
./configure --with-openssl "${without[@]/#/--without-}" "${disabled[@]/#/--disable-}" --without-ca-path \
  --with-ca-bundle=/etc/ssl/certs/ca-certificates.crt CFLAGS='-O2 -fPIC' >configure.log
make -j "$(nproc)" -C lib >make.log 2>&1
version=$(sed -n 's/^#define LIBCURL_VERSION "\(.*\)"/\1/p' include/curl/curlver.h)
cp include/curl/*.h "$include/curl/"
cp lib/.libs/libcurl.a "$lib"
cat >"$root/lib/cmake/CURL/CURLConfig.cmake" <<CMAKE
include(CMakeFindDependencyMacro)
find_dependency(OpenSSL)
find_dependency(Threads)
get_filename_component(root "\${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
if(NOT TARGET CURL::libcurl)
  add_library(CURL::libcurl STATIC IMPORTED)
  set_target_properties(CURL::libcurl PROPERTIES IMPORTED_LOCATION "\${root}/lib/$arch/libcurl.a"
    INTERFACE_INCLUDE_DIRECTORIES "\${root}/include" INTERFACE_COMPILE_DEFINITIONS CURL_STATICLIB
    INTERFACE_LINK_LIBRARIES "OpenSSL::SSL;OpenSSL::Crypto;Threads::Threads;\${CMAKE_DL_LIBS}")
endif()
set(CURL_FOUND TRUE)
set(CURL_VERSION $version)
set(CURL_VERSION_STRING $version)
set(CURL_LIBRARIES CURL::libcurl)
CMAKE
cat >"$root/lib/cmake/CURL/CURLConfigVersion.cmake" <<CMAKE
set(PACKAGE_VERSION $version)
if(NOT PACKAGE_FIND_VERSION VERSION_GREATER PACKAGE_VERSION)
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
endif()
CMAKE

strip -g "$lib"/*.a
tar -C "$work" --sort=name --owner=0 --group=0 --mtime=@0 -c usr | gzip -9n >"$archive"
echo "$archive: $(du -h "$archive" | cut -f1)"
