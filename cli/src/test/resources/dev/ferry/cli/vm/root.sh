#!/bin/busybox sh
# /sbin/init of a guest whose root is on its disk. Whatever it wrote before it was off the last time must be there; then it works on the
# root's file system until the host says stop (load.sh), and leaves word of what it wrote for the next time.

busybox=/bin/busybox
mount() { $busybox mount "$@"; }
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
exec </dev/null >/dev/ttyS0 2>&1
$busybox --install -s /bin
export PATH=/bin
. /lib/load.sh
disk=/work
mkdir /run/sums

boots=$(cat /var/boots)
verified=0
if [ "$boots" -gt 0 ]; then
    cp /var/sums/* /run/sums/ || fail "no word of the last time"
    for path in /run/sums/*; do verify "${path##*/}"; done
    [ "$(md5sum <$disk/hot)" = "$(cat /var/hot)" ] || fail "hot differs"
fi
boots=$((boots + 1))
echo $boots >/var/boots
say "found $verified"
load "$boots"
prove
rm -rf /var/sums
cp -r /run/sums /var/sums
md5sum <$disk/hot >/var/hot
mount -o remount,ro / || fail remount
end
