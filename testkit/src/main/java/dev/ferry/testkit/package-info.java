@NullMarked
package dev.ferry.testkit;

import org.jspecify.annotations.NullMarked;
