# Sourced by the other scripts: `make_environment DIR EXTRAS` makes a virtual environment with the pinned versions.

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "instructgpt needs Python 3.11 or newer; install it, or set PYTHON=/path/to/python3" >&2
  exit 2
}

make_environment() {
  local folder=$1 extras=$2 python
  if [ ! -x "$folder/bin/python" ]; then
    python=$(find_python)
    echo "making $folder with $("$python" --version)"
    "$python" -m venv "$folder" || {
      echo "the virtual environment could not be made; on Debian and Ubuntu: apt install python3-venv" >&2
      exit 2
    }
  fi
  # torch first and on its own: the pinned release serves CPU and GPU, and everything after it finds it there.
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$(grep '^torch==' requirements.lock)" ||
    { echo "torch could not be installed; check the network and the free disk space, then run again" >&2; exit 2; }
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check -c requirements.lock -e ".$extras" ||
    { echo "the installation failed; check the network and the free disk space, then run again" >&2; exit 2; }
}
