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

# Whether an environment is whole, in a file of its own; one that somebody else made has none.
note() {
  [ ! -e "$1/installed" ] || echo "$2" >"$1/installed"
}

# pip's warnings are not the reader's; what it says where it fails is. Of what it fetches a third is ever imported: that is compiled then.
quiet_pip() {
  local python=$1 what=$2 said
  shift 2
  said=$("$python" -m pip install --quiet --disable-pip-version-check --no-compile "$@" 2>&1) || {
    grep -v '^WARNING' <<<"$said" >&2 || true
    echo "$what could not be installed; check the network and the free disk space, then run again" >&2
    exit 2
  }
}

make_environment() {
  local folder=$1 extras=$2 python state torch
  state="$PWD $extras $(cat requirements.lock pyproject.toml | cksum)"
  case "$(cat "$folder/installed" 2>/dev/null)" in
    "$state") return ;;
    unfinished) rm -rf "$folder" ;;  # interrupted: nobody knows which files are whole
  esac
  if [ ! -x "$folder/bin/python" ]; then
    python=$(find_python)
    echo "making $folder with $("$python" --version)"
    mkdir -p "$folder"
    touch "$folder/installed"
    note "$folder" unfinished
    "$python" -m venv "$folder" || {
      echo "the virtual environment could not be made; on Debian and Ubuntu: apt install python3-venv" >&2
      exit 2
    }
  fi
  note "$folder" unfinished
  # torch first and on its own: the pinned release serves CPU and GPU, and everything after it finds it there.
  torch=$(grep '^torch==' requirements.lock)
  echo "installing ${torch/==/ } (at least 200 MB to fetch, a few minutes) ..."
  quiet_pip "$folder/bin/python" torch "$torch"
  echo "installing instructgpt$extras and what it needs (150 MB, a minute) ..."
  quiet_pip "$folder/bin/python" instructgpt -c requirements.lock -e ".$extras"
  note "$folder" "$state"
}
