# Shared by packaging/run, test and bench: the environment in .venv and Qt's system libraries. Source it; don't run it.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
venv="$root/.venv"
python="$venv/bin/python"
export TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-3}"

say() { printf '%s\n' "$*" >&2; }
die() { say "$@"; exit 1; }

# --- Debian and Ubuntu packages -------------------------------------------------------------------------------------

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_install() {
    command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }
}

# install_packages WHY PACKAGE...: install them, or name them and end.
install_packages() {
    local why="$1"; shift
    may_install || die "$why Install what is missing, then try again:  sudo apt-get install $*"
    say "$why Installing $*"
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120)
    local install=("${apt[@]}" install -y --no-install-recommends "$@")
    as_root "${install[@]}" >/dev/null 2>&1 && return   # fails where the package lists were never fetched
    { as_root "${apt[@]}" update && as_root "${install[@]}"; } >/dev/null ||
        die "The packages could not be installed (see above). Is there a network?  sudo apt-get install $*"
}

# --- Python ----------------------------------------------------------------------------------------------------------

# The interpreter to build .venv with: TensorFlow has packages for 3.11 to 3.13.
find_python() {
    local candidate
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    die "Compressor needs Python 3.11, 3.12 or 3.13, and python3 here is $(python3 -V 2>&1 || true)." \
        "Install one (sudo apt-get install python3.11 python3.11-venv), or name it: PYTHON=/path/to/python $0"
}

# The environment is complete when its stamp holds this: what was asked for, and where it was built.
wanted_stamp() { { cat "$root/pyproject.toml"; printf '%s' "$root"; } | sha256sum; }

is_complete() { [ -x "$python" ] && [ "$(cat "$venv/.complete" 2>/dev/null)" = "$(wanted_stamp)" ] && "$python" -c ''; }

build_venv() {
    local base version fresh=()
    base="$(find_python)"
    version="$("$base" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
    "$base" -c 'import venv, ensurepip' 2>/dev/null ||
        install_packages "Python's venv module is missing." "python$version-venv"
    say "Building the environment in .venv, once (it fetches TensorFlow and Qt: some minutes) ..."
    # An environment that was being built when something ended it, or whose interpreter is gone, is made anew.
    if [ -e "$venv/.building" ] || ! "$python" -c '' 2>/dev/null; then fresh=(--clear); fi
    "$base" -m venv "${fresh[@]}" "$venv"
    touch "$venv/.building"
    local pip=("$python" -m pip install --quiet --disable-pip-version-check --retries 2)
    { "${pip[@]}" --upgrade 'pip>=25.1' && "${pip[@]}" --editable "$root" --group "$root/pyproject.toml:dev"; } \
        >"$venv/install.log" 2>&1 || {
        say "$(tail -n 20 "$venv/install.log")"
        die "The Python packages could not be installed. Is there a network, and 3 GB of free disk?"
    }
    wanted_stamp >"$venv/.complete"
    rm "$venv/.building"
}

# --- Qt's system libraries -------------------------------------------------------------------------------------------

qt_packages=(
    libegl1 libgl1 libglib2.0-0 libfontconfig1 libdbus-1-3 libxkbcommon0 libxkbcommon-x11-0 libx11-xcb1 libwayland-cursor0
    libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0
    libxcb-shm0 libxcb-sync1 libxcb-util1 libxcb-xfixes0 libxcb-xkb1
)

# missing_libraries PLATFORM...: what the windows and these platform plugins link to and the system doesn't have.
missing_libraries() {
    local qt platform files
    qt="$("$python" -c 'import importlib.util as u; print(u.find_spec("PySide6").submodule_search_locations[0])')"
    files=("$qt"/QtWidgets.abi3.so "$qt"/QtSvg.abi3.so)
    for platform; do files+=("$qt/Qt/plugins/platforms/libq$platform.so"); done
    ldd "${files[@]}" | awk '/not found/ { print $1 }' | sort -u
}

ensure_qt() {
    local platforms=(offscreen)
    if [ -n "${DISPLAY:-}" ]; then platforms+=(xcb); elif [ -n "${WAYLAND_DISPLAY:-}" ]; then platforms+=(wayland); fi
    if [ -n "$(missing_libraries "${platforms[@]}")" ]; then
        install_packages "Qt needs system libraries that are missing." "${qt_packages[@]}"
        [ -z "$(missing_libraries "${platforms[@]}")" ] ||
            die "Qt still misses system libraries:" $(missing_libraries "${platforms[@]}")
    fi
}

# has_display: whether a window can really be opened. Qt ends the process where it can't, so a process of its own asks.
has_display() {
    [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] && [ "${QT_QPA_PLATFORM:-}" != offscreen ] &&
        { "$python" -c 'from PySide6.QtGui import QGuiApplication; QGuiApplication([])'; } >/dev/null 2>&1
}

# ensure_environment: everything that Compressor needs to run; quick when it is there. One run at a time builds it.
ensure_environment() {
    if ! is_complete; then
        exec 9<"$root"
        flock --nonblock 9 || { say "Waiting for another run to build the environment ..."; flock 9; }
        is_complete || build_venv
        exec 9<&-
    fi
    ensure_qt
}
