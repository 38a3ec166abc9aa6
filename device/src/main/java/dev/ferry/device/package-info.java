/**
 * Devices at the bottom of a stack: {@link dev.ferry.device.FileDevice}, a file or block device, cached or O_DIRECT, on
 * whatever event loop this kernel allows; {@link dev.ferry.device.MemoryDevice}, which forgets. {@link
 * dev.ferry.device.ReactorLoop} shows an event loop to the layers as the loop that they know.
 */
@NullMarked
package dev.ferry.device;

import org.jspecify.annotations.NullMarked;
