/**
 * Format VHDX (MS-VHDX, Virtual Hard Disk v2), to be read: fixed, dynamic and differencing disks that were closed properly.
 * {@link dev.ferry.image.vhdx.VhdxImage} is one file; {@code VhdxLayout} says where everything lies in it; a {@link
 * dev.ferry.image.sparse.DeltaChain} makes a disk of one and its parents.
 */
@NullMarked
package dev.ferry.image.vhdx;

import org.jspecify.annotations.NullMarked;
