package dev.ferry.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.security.SecureRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** A short torture; {@link Torture} by hand makes long ones. */
@Timeout(900)
final class TortureTest {
    private static final int KILLS = 8;

    @Test
    void everyByteIsRightHoweverOftenTheDaemonIsKilled() throws Exception {
        Long given = Long.getLong("ferry.seed");
        String done = Torture.run(KILLS, given != null ? given : new SecureRandom().nextInt());
        System.out.println(done);
        assertThat(done).contains("every byte is right");
    }
}
