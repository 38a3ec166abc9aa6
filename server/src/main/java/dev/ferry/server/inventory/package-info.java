/**
 * What the daemon knows: datastores, disks, and which disks are attached and where. One SQLite file in the data
 * directory, written through to the disk at each change, so that what was answered is there after a crash.
 */
@NullMarked
package dev.ferry.server.inventory;

import org.jspecify.annotations.NullMarked;
