@NullMarked
package dev.ferry.device;

import org.jspecify.annotations.NullMarked;
