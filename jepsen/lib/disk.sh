# A file system of its own for a node: ext4 in a file, mounted by loop.  Sourced by
# the nemeses that break disks.
#
# nodes/nI/disk.img is mounted at nodes/nI/disk, and nodes/nI/data becomes a link
# into it.  Several nemeses may ask for it; it is made once.

DISK_BYTES=1G # sparse: takes what is written

disk_dir() { echo "$RUN/nodes/n$1/disk"; }
disk_image() { echo "$RUN/nodes/n$1/disk.img"; }

# Print what is missing, or nothing.
disk_need() {
    local dir rc=0
    [ "$(id -u)" -eq 0 ] || { echo "root is needed to mount a loop file system"; return 1; }
    command -v mkfs.ext4 > /dev/null || { echo "no program mkfs.ext4 (e2fsprogs)"; return 1; }
    dir=$(mktemp -d /tmp/kvdisk.XXXXXX) || return 1
    truncate -s 8M "$dir/image"
    if ! mkfs.ext4 -q "$dir/image" > /dev/null 2>&1 || ! mkdir "$dir/mnt" ||
        ! mount -o loop "$dir/image" "$dir/mnt" 2> /dev/null; then
        echo "an ext4 file cannot be mounted by loop here"
        rc=1
    elif [ "${1:-}" = cut ] && ! "$BUILD/jepsen/cut" "$dir/mnt" 2> /dev/null; then
        echo "this kernel's ext4 has no EXT4_IOC_SHUTDOWN (or jepsen/cut is not built)"
        rc=1
    fi
    if mountpoint -q "$dir/mnt"; then umount "$dir/mnt"; fi
    rm -rf "$dir"
    return $rc
}

disk_mounted() { mountpoint -q "$(disk_dir "$1")"; }

disk_mount() { # NODE
    disk_mounted "$1" || mount -o loop "$(disk_image "$1")" "$(disk_dir "$1")"
}

# The kernel may still hold a file of a process that was just killed.
disk_umount() { # NODE
    local n
    for n in 1 2 3 4 5 6 7 8 9 10; do
        disk_mounted "$1" || return 0
        umount "$(disk_dir "$1")" 2> /dev/null && return 0
        sleep 0.1
    done
    umount "$(disk_dir "$1")"
}

# Before the node's first start.
disk_prepare() { # NODE
    local data
    data=$(data_of "$1")
    if disk_mounted "$1"; then return 0; fi
    mkdir -p "$(disk_dir "$1")" &&
        truncate -s $DISK_BYTES "$(disk_image "$1")" &&
        mkfs.ext4 -q -m 0 "$(disk_image "$1")" &&
        disk_mount "$1" &&
        mkdir "$(disk_dir "$1")/data" &&
        sync -f "$(disk_dir "$1")" || return 1
    if [ -d "$data" ]; then rmdir "$data" || return 1; fi
    ln -s disk/data "$data"
}

# After the node's last end.  Keeps the files of the log: they are evidence.
disk_cleanup() { # NODE
    local data
    data=$(data_of "$1")
    if ! disk_mounted "$1"; then return 0; fi
    if [ -L "$data" ]; then
        rm "$data"
        cp -a --sparse=always "$(disk_dir "$1")/data" "$data"
    fi
    disk_umount "$1" && rm -f "$(disk_image "$1")" && rmdir "$(disk_dir "$1")"
}
