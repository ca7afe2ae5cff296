# shellcheck shell=bash
# Functions for checks in a fresh Debian. They need root, debootstrap, and the packages of Debian.

# All mounts are in a mount namespace of their own, so they go away with the script.
in_namespace() {
    [ "$(id -u)" = 0 ] || fail "this check needs root"
    [ -n "${OWN_NAMESPACE:-}" ] || OWN_NAMESPACE=yes exec unshare --mount "$0" "$@"
}

# The Debian to use. debootstrap makes it once; later checks unpack what it made.
suite=${SUITE:-bookworm}
debian=$PWD/target/check/debian-$suite.tar

make_debian() {
    [ ! -e "$debian" ] || return 0
    need debootstrap "apt install debootstrap"
    step "make a fresh Debian ($suite)"
    local new
    new=$(mktemp -d)
    chmod 755 "$new"
    mkdir -p "${debian%/*}"
    debootstrap --variant=minbase "$suite" "$new" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$debian.log" ||
        fail "debootstrap failed; see $debian.log"
    tar -C "$new" --numeric-owner -cf "$debian.part" . && mv "$debian.part" "$debian"
    rm -rf "$new"
}

# make_root FOLDER: unpacks a fresh Debian and makes it ready to run programs.
make_root() {
    make_debian
    tar -C "$1" --numeric-owner -xf "$debian"
    # The root reaches the mirror in the same way as this machine.
    cp /etc/resolv.conf "$1/etc/resolv.conf"
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    mount --make-rslave "$1/dev"
}

# inside FOLDER COMMAND...: runs a command in the Debian in this folder.
inside() {
    local folder=$1
    shift
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        ${http_proxy:+http_proxy="$http_proxy"} chroot "$folder" "$@"
}

# as_service FOLDER COMMAND...: runs a command as the unit does: as its user, in its folder, with its variables.
as_service() {
    local folder=$1 variables
    shift
    variables=$(sed -n 's/^Environment=//p' "$folder/usr/lib/systemd/system/music-insights.service")
    # shellcheck disable=SC2086 # one word per variable
    inside "$folder" env --chdir=/var/lib/music-insights $variables \
        setpriv --reuid music-insights --regid music-insights --init-groups "$@"
}

# give_sample FOLDER: gives the service the sample of this project, like a user with logs.
give_sample() {
    local data=$1/var/lib/music-insights
    cp data/songs_metadata.csv "$data/"
    cp data/incoming/*.csv "$data/incoming/"
    inside "$1" chown -R music-insights: /var/lib/music-insights
}

# files FOLDER: the paths of all files, without caches, logs and the database of packages.
files() {
    (cd "$1" && find . -xdev \( -path ./proc -o -path ./dev -o -path ./sys -o -path ./run -o -path ./tmp \
        -o -path ./var/cache -o -path ./var/log -o -path ./var/lib/apt -o -path ./var/lib/dpkg \) -prune -o -print) | sort
}

# only_data_is_left FOLDER LIST [PATH]...: compares the files with a list from before the installation. Only the data
# and the given paths may be new.
only_data_is_left() {
    local root=$1 before=$2 path
    shift 2
    files "$root" >"$root/tmp/after"
    [ -z "$(comm -23 "$before" "$root/tmp/after")" ] || fail "the removal has removed files of other packages"
    [ -e "$root/var/lib/music-insights/state" ] || fail "the removal has removed the data"
    for path in $(comm -13 "$before" "$root/tmp/after"); do
        case $path in
        ./var/lib/music-insights | ./var/lib/music-insights/*) ;;
        # Backups of the lists of users, made when the package added one.
        ./etc/passwd- | ./etc/group- | ./etc/shadow- | ./etc/gshadow-) ;;
        *) [[ " $* " == *" $path "* ]] || fail "the removal has left $path" ;;
        esac
    done
}
