/**
 * {@code ferry demo}: the main job on this machine, with nothing to prepare. A real daemon in a temporary directory, a
 * disk with data, a guest made of one thread ({@link dev.ferry.cli.demo.GuestLoad}) that reads and writes over NBD and
 * knows what every block has to hold ({@link dev.ferry.cli.demo.GuestModel}), and a live move in the middle of it.
 */
@NullMarked
package dev.ferry.cli.demo;

import org.jspecify.annotations.NullMarked;
