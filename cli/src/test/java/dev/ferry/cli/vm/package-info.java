/**
 * A whole virtual machine on a disk of Ferry.
 *
 * <p>{@link dev.ferry.cli.vm.GuestImage} makes what the machine boots from Debian's packages, {@link
 * dev.ferry.cli.vm.GuestMachine} runs it under QEMU, {@link dev.ferry.cli.vm.FerryHost} runs Ferry's daemon and
 * commands, each as a process of its own, and {@link dev.ferry.cli.vm.MachineMoveTest} moves the machine's disk while it
 * works. What the guest does is the script {@code init.sh} beside it. The same by hand: docs/vm.md.
 */
@NullMarked
package dev.ferry.cli.vm;

import org.jspecify.annotations.NullMarked;
