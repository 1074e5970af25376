#!/usr/bin/env bash
# Makes the root filesystems that images of the test cluster are based on, from the distribution's
# packages, since the tests use no registry: rootfs.sh FOLDER writes base.tar (what a distroless base
# holds: the C library, certificates, time zones) and redis.tar (that, and Redis).
set -euo pipefail

target=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PATH=$PATH:/usr/sbin:/sbin

# fetch PACKAGE: fails where the lists of packages are missing or old.
fetch() { (cd "$work/debs" && apt-get -o APT::Sandbox::User=root download -qq "$1" >/dev/null); }

# unpack FOLDER PACKAGE...: packages as the distribution has them, without their scripts.
unpack() {
    local folder=$1 package
    shift
    mkdir -p "$folder" "$work/debs"
    for package in "$@"; do
        if ! compgen -G "$work/debs/${package}_*.deb" >/dev/null; then
            fetch "$package" || { apt-get update -qq && fetch "$package"; }
        fi
        dpkg-deb -x "$work/debs/${package}"_*.deb "$folder"
    done
    rm -rf "$folder"/usr/share/{doc,man,lintian,locale,bug,doc-base}
}

# owners PROGRAM...: the packages of the shared libraries that the programs load.
owners() {
    ldd "$@" | awk '$2 == "=>" && $3 ~ "^/" { print $3 }' | sort -u | while read -r library; do
        # A path is listed as it was before or after the merge of /lib and /usr/lib.
        { dpkg-query -S "$library" || dpkg-query -S "/usr$library" ||
            dpkg-query -S "${library#/usr}"; } 2>/dev/null | cut -d: -f1
    done | sort -u
}

base=(libc6 libgcc-s1 ca-certificates tzdata netbase)
unpack "$work/base" "${base[@]}"
mkdir -p "$work/base"/{etc/ssl/certs,tmp,data}
chmod 1777 "$work/base/tmp"
chown 65532:65532 "$work/base/data"
cat "$work"/base/usr/share/ca-certificates/mozilla/*.crt >"$work/base/etc/ssl/certs/ca-certificates.crt"
echo 'hosts: files dns' >"$work/base/etc/nsswitch.conf"
printf '%s\n' 'root:x:0:0::/:/none' 'nonroot:x:65532:65532::/:/none' >"$work/base/etc/passwd"
printf '%s\n' 'root:x:0:' 'nonroot:x:65532:' >"$work/base/etc/group"

cp -a "$work/base" "$work/redis"
mapfile -t libraries < <(owners "$(command -v redis-server)" "$(command -v redis-cli)")
unpack "$work/redis" redis-server redis-tools "${libraries[@]}"

mkdir -p "$target"
for name in base redis; do
    tar --sort=name --numeric-owner -C "$work/$name" -cf "$target/$name.tar" .
done
