package dev.ferry.block;

import static org.assertj.core.api.Assertions.assertThat;

import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.Arrays;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Nothing goes past a filter by default that it may have to see: a new method of a device is put on one of these lists. */
class FilterDeviceTest {
    private static final Set<String> QUESTIONS =
            Set.of("geometry", "capabilities", "extents", "ownExtents", "located", "close");
    private static final Set<String> REQUESTS = Set.of("read", "write", "writeZeroes", "discard", "flush", "locate");
    /** Of files that grow, and of stores that copy by themselves. */
    private static final Set<String> OF_FEW =
            Set.of("lengthBytes", "resize", "store", "offloadUnitBytes", "copyFrom", "writesFiles", "writeFile");

    /** The methods that a class has code for, or those that an interface asks for. */
    private static Set<String> methods(Class<?> type) {
        return Arrays.stream(type.getDeclaredMethods())
                .filter(method -> !method.isSynthetic())
                .filter(method -> type.isInterface() || !Modifier.isAbstract(method.getModifiers()))
                .map(Method::getName)
                .collect(Collectors.toCollection(TreeSet::new));
    }

    @Test
    void aFilterPassesOnWhatIsAskedAndNoRequest() {
        assertThat(methods(FilterDevice.class)).isEqualTo(QUESTIONS);
    }

    @Test
    void aForwardingDevicePassesOnEveryRequest() {
        assertThat(methods(ForwardingDevice.class)).isEqualTo(REQUESTS);
    }

    @Test
    void everyMethodOfADeviceIsOnOneList() {
        assertThat(methods(BlockDevice.class))
                .isEqualTo(Stream.of(QUESTIONS, REQUESTS, OF_FEW)
                        .flatMap(Set::stream)
                        .collect(Collectors.toSet()));
    }
}
