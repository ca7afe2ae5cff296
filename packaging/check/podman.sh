# shellcheck shell=bash
# Functions for checks in containers.

# use_podman: leaves the check if podman is missing. Makes the folder $folder; containers and images are in it, so they
# do not mix with those of the user.
use_podman() {
    if ! command -v podman >/dev/null; then
        echo "skipped: podman is not installed"
        exit
    fi
    [ "$(id -u)" = 0 ] || fail "this check needs root"
    folder=$(mktemp -d)
    export CONTAINERS_STORAGE_CONF=$folder/storage.conf CONTAINERS_CONF=$folder/containers.conf
    printf '[storage]\ndriver = "vfs"\ngraphroot = "%s"\nrunroot = "%s"\n' "$folder/images" "$folder/run" \
        >"$CONTAINERS_STORAGE_CONF"
    # Some sandboxes forbid higher limits, and crun refuses machines with both versions of cgroups.
    {
        printf '[containers]\ndefault_ulimits = []\n'
        ! command -v runc >/dev/null || printf '[engine]\nruntime = "runc"\n'
    } >"$CONTAINERS_CONF"
    trap 'podman rm --force --all >/dev/null 2>&1; rm -rf --one-file-system "$folder"' EXIT
    make_debian
    # shellcheck disable=SC2154 # root.sh sets it
    podman import --quiet "$debian" localhost/debian >/dev/null
}

# Without systemd on the machine, podman complains that it cannot run health checks by a timer. The checks run them.
podman() { command podman --log-level fatal "$@"; }
