/**
 * A whole virtual machine on a disk of Ferry.
 *
 * <p>{@link dev.ferry.cli.vm.GuestImage} makes what the machine boots from Debian's packages, {@link
 * dev.ferry.cli.vm.GuestMachine} runs it under QEMU, {@link dev.ferry.cli.vm.GuestProof} looks at its disk afterwards, and {@link
 * dev.ferry.cli.vm.MachineMoveTest} moves the disk while the machine works. {@link dev.ferry.cli.vm.BootDisk} is a disk that
 * a machine boots from by its BIOS, and {@link dev.ferry.cli.vm.GuestTour} takes it through the formats under it. What the
 * guests do is in the scripts beside the classes. The same by hand: docs/vm.md.
 */
@NullMarked
package dev.ferry.cli.vm;

import org.jspecify.annotations.NullMarked;
