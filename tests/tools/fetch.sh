#!/bin/sh
# Fetches the programs the tests run into target/tools, and installs nothing: packages are downloaded with the
# dependencies this host lacks and unpacked, so that no service starts and no privilege is needed. Each program gets a
# starter in target/tools/bin that sets its library path. What cannot be had is said in one line; its tests SKIP.
#
#   tests/tools/fetch.sh          all parts
#   tests/tools/fetch.sh PART...  debian, sid, python, cargo; numpy
set -u
cd "$(dirname "$0")/../.." || exit 1
mkdir -p target/tools && tools=$(cd target/tools && pwd) || exit 1

# Debian's own versions.
debian='prometheus prometheus-alertmanager prometheus-node-exporter stress-ng bpftrace docker.io clang-format
        openssl python3 python3-pip'
# Go programs of the development branch, which run on any recent libc: Prometheus 3, VictoriaMetrics, and a Docker that
# knows CAP_BPF, in the place of Debian's own.
sid='prometheus promtool victoria-metrics docker.io docker-cli containerd docker-compose'
python='opentelemetry-proto==1.39.1 grpcio==1.76.0'
numpy='numpy==2.3.5'
cargo='cargo-deny@0.20.2'

say() { echo "fetch: $*" >&2; }

# done_before PART LIST: whether that very list was fetched by this very script.
stamp() { printf '%s\n' "$2" | cat - tests/tools/fetch.sh | cksum; }
done_before() { [ "$(cat "$tools/$1.stamp" 2>/dev/null)" = "$(stamp "$1" "$2")" ]; }
finish() { stamp "$1" "$2" >"$tools/$1.stamp"; }

# apt_for NAME: an apt-get of our own lists and cache in $tools/apt/NAME, reading the system's sources and status
# unless NAME has its own configuration. A mirror may stand still: its lists are taken however old.
apt_for() {
    at=$tools/apt/$1 && shift
    mkdir -p "$at/lists/partial" "$at/cache/archives/partial"
    apt-get -q -o Dir::State::lists="$at/lists" -o Dir::Cache="$at/cache" -o Debug::NoLocking=1 \
        -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=3 -o Acquire::Check-Valid-Until=false "$@"
}

# unpack ROOT DIR: every package of DIR into ROOT.
unpack() {
    mkdir -p "$1" && for deb in "$2"/*.deb; do
        [ -e "$deb" ] || continue
        dpkg-deb -x "$deb" "$1" && rm "$deb" || return
    done
}

# starter NAME ROOT PROGRAM [FILE]: target/tools/bin/NAME runs ROOT/PROGRAM with the libraries of ROOT. A program that
# insists on a FILE under /usr/share which the host lacks sees ROOT's laid over it, in a namespace of its own.
starter() {
    mkdir -p "$tools/bin"
    {
        printf '#!/bin/sh\nroot=$(cd "$(dirname "$0")/../%s" && pwd) || exit 1\n' "$2"
        printf 'export LD_LIBRARY_PATH=$root/usr/lib/%s-linux-gnu:$root/lib/%s-linux-gnu\n' "$(uname -m)" "$(uname -m)"
        printf 'set -- "$root/%s" "$@"\n' "$3"
        [ $# -lt 4 ] || [ -e "$4" ] || cat <<'OVERLAY'
laid='mount -t overlay -o "lowerdir=$0/usr/share:/usr/share" overlay /usr/share && exec "$@"'
set -- unshare --map-root-user --mount sh -c "$laid" "$root" "$@"
OVERLAY
        echo 'exec "$@"'
    } >"$tools/bin/$1"
    chmod +x "$tools/bin/$1"
}

# Debian's package lists, once a run.
debian_lists() {
    [ -e "$tools/apt/debian/updated" ] && return
    apt_for debian update >"$tools/debian.log" 2>&1 || say "package lists cannot be updated: $tools/debian.log"
    : >"$tools/apt/debian/updated"
}

fetch_debian() {
    debian_lists
    get="install --yes --download-only --no-install-recommends"
    if ! apt_for debian $get $debian >>"$tools/debian.log" 2>&1; then
        for package in $debian; do
            apt_for debian $get "$package" >>"$tools/debian.log" 2>&1 ||
                { say "$package is not to be had: $tools/debian.log"; missing=1; }
        done
    fi
    unpack "$tools/root" "$tools/apt/debian/cache/archives" || return
    for program in "$tools/root/usr/bin/"* "$tools/root/usr/sbin/"* "$tools/root/sbin/"*; do
        [ ! -x "$program" ] || starter "$(basename "$program")" root "${program#"$tools/root/"}"
    done
    [ ! -x "$tools/root/usr/bin/prometheus-alertmanager" ] ||
        starter prometheus-alertmanager root usr/bin/prometheus-alertmanager /usr/share/prometheus/alertmanager/default.tmpl
}

fetch_sid() {
    debian_lists
    at=$tools/apt/sid && mkdir -p "$at/sources" "$at/none"
    apt_for debian indextargets --format '$(SITE)' 'Origin: Debian' "Codename: $(. /etc/os-release; echo "$VERSION_CODENAME")" |
        sort -u | head -n 1 >"$at/site"
    [ -s "$at/site" ] || { say "no Debian mirror among the package sources"; missing=1; return; }
    printf 'Types: deb\nURIs: %s\nSuites: sid\nComponents: main\nSigned-By: %s\n' \
        "$(cat "$at/site")" /usr/share/keyrings/debian-archive-keyring.gpg >"$at/sources/sid.sources"
    : >"$at/status"
    own="-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=$at/sources -o Dir::State::status=$at/status
         -o Dir::Etc::preferencesparts=$at/none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false"
    apt_for sid $own update >"$tools/sid.log" 2>&1 || say "sid's lists cannot be updated: $tools/sid.log"
    mkdir -p "$at/debs"
    for package in $sid; do
        (cd "$at/debs" && apt_for sid $own download "$package") >>"$tools/sid.log" 2>&1 ||
            { say "sid's $package is not to be had: $tools/sid.log"; missing=1; }
    done
    unpack "$tools/sid" "$at/debs" || return
    sid_starter prometheus3 usr/bin/prometheus
    sid_starter promtool3 usr/bin/promtool
    sid_starter victoria-metrics usr/bin/victoria-metrics
    sid_starter dockerd usr/sbin/dockerd
    sid_starter docker usr/bin/docker
    sid_starter containerd usr/bin/containerd
    sid_starter containerd-shim-runc-v2 usr/bin/containerd-shim-runc-v2
    sid_starter docker-compose usr/bin/docker-compose usr/libexec/docker/cli-plugins/docker-compose
}

# sid_starter NAME PROGRAM...: for the first PROGRAM there is, if it runs on this libc; else Debian's stays.
sid_starter() {
    name=$1 && shift
    for program; do
        [ -x "$tools/sid/$program" ] || continue
        for ask in --version version -v; do
            "$tools/sid/$program" $ask >>"$tools/sid.log" 2>&1 || continue
            starter "$name" sid "$program"
            return
        done
    done
    say "sid's $name does not run here: $tools/sid.log"
}

# The Python of Debian, unpacked where the host has none, with the OTLP protocol as others generate it.
fetch_python() {
    if [ -x "$tools/root/usr/bin/python3" ]; then
        home="PYTHONHOME=\$root/usr" program="\$root/usr/bin/python3"
    else
        home="" program=/usr/bin/python3
    fi
    cat >"$tools/bin/python3" <<STARTER
#!/bin/sh
tools=\$(cd "\$(dirname "\$0")/.." && pwd) || exit 1
root=\$tools/root
export LD_LIBRARY_PATH=\$root/usr/lib/$(uname -m)-linux-gnu:\$root/lib/$(uname -m)-linux-gnu
$home PYTHONPATH=\$tools/python\${PYTHONPATH:+:\$PYTHONPATH} exec "$program" "\$@"
STARTER
    chmod +x "$tools/bin/python3"
    packages python $python
}

# For `make eval` only.
fetch_numpy() {
    packages numpy $numpy
}

# packages PART NAME...: from PyPI.
packages() {
    log=$tools/$1.log && shift
    "$tools/bin/python3" -m pip install --quiet --disable-pip-version-check --upgrade --target "$tools/python" \
        "$@" >"$log" 2>&1 || { say "$* is not to be had: $log"; missing=1; }
}

# Without optimisation and its own git: half a minute.
fetch_cargo() {
    "${CARGO:-cargo}" install --quiet --debug --locked --no-default-features --root "$tools" --target-dir "$tools/build" \
        $cargo >"$tools/cargo.log" 2>&1 || { say "$cargo is not to be had: $tools/cargo.log"; missing=1; }
    rm -rf "$tools/build"
}

# needs_debian PART: whether PART unpacks Debian's packages, on a system that cannot.
needs_debian() {
    case $1 in debian | sid) ;; *) return 1 ;; esac
    ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null
}

exec 9>"$tools/lock" && { flock 9 2>/dev/null || true; }
for part in ${*:-debian sid python cargo}; do
    eval list=\$$part
    done_before "$part" "$list" && continue
    needs_debian "$part" && { say "this is no Debian: tests take $part's programs from PATH or SKIP"; continue; }
    say "$part: $(echo $list)"
    missing=
    "fetch_$part" || { say "$part cannot be unpacked"; missing=1; }
    [ -n "$missing" ] || finish "$part" "$list"
done
rm -rf "$tools/apt"
exit 0
