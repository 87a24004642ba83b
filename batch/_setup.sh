# Sourced by tests/run and batch/demo, which set $root. `prepare EXTRA` finds Python and the programs that are
# needed, keeps $root/.venv up to date with what .ci/EXTRA.lock pins, and sets $bin to its folder of programs.

give_up() {
    printf '%s\n' "$*" >&2
    exit 2
}

find_python() {
    for name in python3 python3.15 python3.14 python3.13 python3.12 python3.11 python3.10; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; then
            python=$name
            return
        fi
    done
    give_up "Python 3.10 or newer is needed and was not found: install it, then run this again."
}

# Print what is missing, as Debian names it.
missing_packages() {
    command -v rsync >/dev/null 2>&1 || printf ' rsync'
    if ! command -v ssh >/dev/null 2>&1 || ! command -v ssh-keygen >/dev/null 2>&1; then
        printf ' openssh-client'
    fi
    "$python" -c 'import venv, ensurepip' >/dev/null 2>&1 || printf ' python3-venv'
}

install_programs() {
    missing=$(missing_packages)
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        printf 'Installing%s.\n' "$missing" >&2
        apt-get update >&2 || true
        DEBIAN_FRONTEND=noninteractive apt-get install -y rsync openssh-client python3-venv >&2 || true
        find_python
        missing=$(missing_packages)
        [ -n "$missing" ] || return 0
    fi
    if command -v apt-get >/dev/null 2>&1; then
        how="sudo apt-get install$missing"
    elif command -v brew >/dev/null 2>&1; then
        how="brew install rsync openssh python@3.12"
    else
        how="sudo dnf install rsync openssh-clients python3"
    fi
    give_up "Missing:$missing. Install with: $how"
}

same_python() {
    which_python='import sys; print(sys.base_prefix, sys.version_info[:3])'
    [ "$("$bin/python" -c "$which_python" 2>/dev/null)" = "$("$python" -c "$which_python")" ]
}

# The stamp of an extra: pyproject.toml, its lock file, the extra's name and the place of the checkout.
stamp_of() {
    "$python" -c 'import hashlib, sys
text = "\0".join(sys.argv[1:]).encode()
for name in ("pyproject.toml", ".ci/" + sys.argv[2] + ".lock"):
    with open(sys.argv[1] + "/" + name, "rb") as file:
        text += file.read()
print(hashlib.sha256(text).hexdigest())' "$root" "$1"
}

# Tell whether an extra is installed as pyproject.toml has it now.
installed() {
    [ -x "$bin/cmlutil" ] && [ "$(cat "$root/.venv/cmlutils-$1.stamp" 2>/dev/null)" = "$(stamp_of "$1")" ]
}

# Install what an extra needs, pinned by hash, and then cmlutils itself from what is named: `-e FOLDER`, or a wheel.
# The lock names all there is (--no-deps): pip's own search would take a newer `coverage[toml]` for the pinned coverage.
# A package that is not the pinned one ends it. Where a pinned version can not be had, as on a machine with an index
# of its own, the versions that pyproject.toml allows are taken instead, and that is said.
pip_install() {
    extra=$1
    shift
    if said=$("$bin/python" -m pip install --quiet --disable-pip-version-check \
        --no-deps --require-hashes -r "$root/.ci/$extra.lock" 2>&1); then
        "$bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation "$@"
        return
    fi
    printf '%s\n' "$said" >&2
    case $said in
    *'DO NOT MATCH THE HASHES'*) give_up "A package is not the one that .ci/$extra.lock pins: nothing was installed." ;;
    esac
    printf 'Not all of .ci/%s.lock can be had here. Taking UNPINNED versions, as pyproject.toml allows them.\n' "$extra" >&2
    if [ "$1" = -e ]; then
        set -- -e "$2[$extra]"
    else
        set -- "$1[$extra]"
    fi
    "$bin/python" -m pip install --quiet --disable-pip-version-check 'setuptools>=68' "$@" # it builds the wheel
}

prepare() {
    bin=$root/.venv/bin
    find_python
    install_programs
    if ! same_python; then
        printf 'Making .venv.\n' >&2
        "$python" -m venv --clear "$root/.venv"
    fi
    if ! installed "$1" && ! installed test; then
        printf 'Installing cmlutils[%s] into .venv.\n' "$1" >&2
        pip_install "$1" -e "$root" ||
            give_up "pip could not install cmlutils[$1]; its words are above."
        stamp_of "$1" >"$root/.venv/cmlutils-$1.stamp"
    fi
}
