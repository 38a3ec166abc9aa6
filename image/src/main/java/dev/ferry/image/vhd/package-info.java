/**
 * Format VHD (Virtual Hard Disk image format, version 1.0): fixed, dynamic and differencing disks; the last to be read. {@link
 * dev.ferry.image.vhd.VhdImage} is one file; a {@link dev.ferry.image.sparse.DeltaChain} makes a disk of one and its parents. {@link
 * dev.ferry.image.vhd.VhdCreator} makes one; {@code BlockTable} gives new blocks of a dynamic one a place.
 */
@NullMarked
package dev.ferry.image.vhd;

import org.jspecify.annotations.NullMarked;
