/**
 * Format qcow2, versions 2 and 3.
 *
 * <p>{@link dev.ferry.image.qcow2.Qcow2Creator} makes an image, {@link dev.ferry.image.qcow2.Qcow2Image} opens one, {@link
 * dev.ferry.image.qcow2.Qcow2Checker} checks and mends one, {@link dev.ferry.image.qcow2.Qcow2Snapshots} and {@link
 * dev.ferry.image.qcow2.Qcow2Resizer} and {@link dev.ferry.image.qcow2.Qcow2Emptier} change one by a {@code Changeover}, {@link
 * dev.ferry.image.qcow2.Qcow2Writer} writes one in one pass, compressed or not: blocking code on {@link dev.ferry.image.FileBytes}. {@link
 * dev.ferry.image.qcow2.Qcow2Device} is the disk; its class comment says what keeps an image sound through a crash. A
 * request finds its way in {@code Request} and its two kinds, by the map in {@code MapCache}, which {@code MapWriter} writes back; clusters
 * come from {@code Reserve}, and go by way of {@code Recycler}. Where everything lies in the file is in {@code
 * Qcow2Layout}. Where L2 entries are extended, {@code SubclusterRead} and {@code SubclusterChange} take the place of the two kinds of
 * request. Data may lie in a file of its own, always where the guest has it: the device's {@code store}.
 */
@NullMarked
package dev.ferry.image.qcow2;

import org.jspecify.annotations.NullMarked;
