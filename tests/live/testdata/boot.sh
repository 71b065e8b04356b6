#!/bin/bash
# Boots a directory as a machine whose process 1 is systemd, in the network of whoever
# starts it. Usage: boot.sh ROOT CGROUP [FROM TO]...    (FROM is mounted on ROOT/TO)
# The cgroup is made here, below an existing one, and is all of cgroups that the machine sees.
# Everything ends with this process.
set -euo pipefail

if [[ $1 != inside ]]; then
	mkdir "$2"
	echo $$ >"$2/cgroup.procs"
	exec unshare --mount --pid --uts --ipc --cgroup --fork --kill-child "$0" inside "$@"
fi
root=$2
shift 3

hostname vps
mount --make-rprivate /
mount --bind "$root" "$root"
while (($# > 0)); do
	mkdir -p "$root$2"
	mount --bind "$1" "$root$2"
	shift 2
done
cd "$root"
mount -t proc proc proc
# What is not the machine's own must not be changed by it.
mount --bind proc/sys proc/sys
mount -o remount,ro,bind proc/sys
mount -t sysfs -o ro sysfs sys
mountpoint -q sys/fs/cgroup || mount -t tmpfs tmpfs sys/fs/cgroup
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
	touch "dev/$device"
	mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts dev/shm old
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
mount -t tmpfs tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
pivot_root . old
umount -l /old
rmdir /old
exec setpriv --bounding-set -sys_module,-sys_time,-sys_rawio,-syslog,-wake_alarm \
	env -i container=sallyport PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd systemd.unit=multi-user.target </dev/null
