# shellcheck shell=bash
# Functions for the scripts in this folder. They run in the top folder of the project.

# Tools with pinned versions. They are built once, into target/tools.
declare -A TOOLS=([cargo-auditable]=0.7.7 [cargo-deb]=3.8.0 [cargo-generate-rpm]=0.21.1)
export PATH=$PWD/target/tools/bin:$PATH

step() { echo "== $*" >&2; }

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# need PROGRAM HOW: fails unless the program is installed.
need() {
    command -v "$1" >/dev/null || fail "$1 is missing; install it with: $2"
}

install_tools() {
    local tool
    for tool in "$@"; do
        if [ ! -e "target/tools/$tool-${TOOLS[$tool]}" ]; then
            step "build $tool ${TOOLS[$tool]} (once)"
            cargo install --quiet --locked --root target/tools "$tool@${TOOLS[$tool]}" ||
                fail "cannot install $tool; its message is above"
            touch "target/tools/$tool-${TOOLS[$tool]}"
        fi
    done
}

# The folder that cargo builds in.
target_folder() { realpath -m "${CARGO_TARGET_DIR:-target}"; }

# hide_paths: sets the flags of the compilers, so that no path of this machine gets into the program.
hide_paths() {
    local cargo_home=${CARGO_HOME:-$HOME/.cargo} flags=() from
    for from in "$PWD=/music-insights" "$(target_folder)=/target" "$cargo_home=/cargo" \
        "$(rustc --print sysroot)=/rust"; do
        flags+=("--remap-path-prefix=$from")
    done
    CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && echo "${flags[*]}")
    export CARGO_ENCODED_RUSTFLAGS CFLAGS="-ffile-prefix-map=$cargo_home=/cargo"
}
