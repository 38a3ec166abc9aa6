/**
 * Format VHD (Virtual Hard Disk image format, version 1.0): fixed, dynamic and differencing disks, to be read. {@link
 * dev.ferry.image.vhd.VhdImage} is one file; a {@link dev.ferry.image.sparse.DeltaChain} makes a disk of one and its parents.
 */
@NullMarked
package dev.ferry.image.vhd;

import org.jspecify.annotations.NullMarked;
