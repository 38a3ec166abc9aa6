# Sourced by ./ferry, ./check and ./bench: finds the JDK that Ferry needs, without starting a Java.
# A JDK says what it is in its file `release`; reading that costs well under a millisecond, and starting it costs 40.

# is_jdk25 DIR: true if DIR holds a JDK 25 (a JDK, not a run-time image: there is a javac).
is_jdk25() {
    local line
    [[ -x $1/bin/java && -x $1/bin/javac && -r $1/release ]] || return 1
    while IFS= read -r line; do
        [[ $line == 'JAVA_VERSION="25"' || $line == 'JAVA_VERSION="25.'* || $line == 'JAVA_VERSION="25-'* ]] && return 0
    done <"$1/release"
    return 1
}

# find_jdk25: sets and exports JAVA_HOME. Without one it says what to install, and returns 1.
find_jdk25() {
    local candidate java
    local -a candidates=()
    [[ -n ${JAVA_HOME:-} ]] && candidates+=("$JAVA_HOME")
    if java=$(type -P javac); then
        java=$(readlink -f "$java")
        candidates+=("${java%/bin/javac}")
    fi
    candidates+=(
        /usr/lib/jvm/*25*
        /usr/lib/jvm/*
        /opt/*jdk*25* /opt/java/*
        "${HOME:-}"/.sdkman/candidates/java/25*
        "${HOME:-}"/.jdks/*25*
        /Library/Java/JavaVirtualMachines/*25*/Contents/Home
    )
    for candidate in "${candidates[@]}"; do
        if is_jdk25 "$candidate"; then
            export JAVA_HOME=$candidate
            return 0
        fi
    done
    cat >&2 <<'END'
ferry: no JDK 25 found (looked at JAVA_HOME, PATH, /usr/lib/jvm, /opt, ~/.sdkman, ~/.jdks).
Install one and start again, or set JAVA_HOME to it:
  Debian, with Adoptium's repository (https://adoptium.net/installation/linux/):  apt-get install temurin-25-jdk
  Debian 13 or later, Ubuntu 25.10 or later:                                      apt-get install openjdk-25-jdk-headless
  any Linux:  unpack the archive from https://adoptium.net/temurin/releases/?version=25 below /opt, and set JAVA_HOME
END
    return 1
}
