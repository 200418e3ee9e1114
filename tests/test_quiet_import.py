import os
import subprocess
import sys

import pytest

# Stands for TensorFlow: writes from C's side as it does, then works or dies.
FAKE = """
import os
os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\\n")
os.write(2, b"I0000 00:00:1.2 port.cc:153] oneDNN custom operations are on.\\n")
os.write(2, b"E0000 00:00:1.2 cuda.cc:52] no driver\\n")
if os.environ.get("DIE"):
    os.write(2, b"F0000 00:00:1.2 cpu.cc:1] needs AVX\\n")
    os.abort()
"""


@pytest.fixture
def import_fake(tmp_path):
    (tmp_path / "tensorflow.py").write_text(FAKE)

    def run(**environment: str) -> subprocess.CompletedProcess:
        code = (
            f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from tfdlcv.quiet_import import import_tensorflow\n"
            "import_tensorflow(); print('after', file=sys.stderr); import os; print(os.environ['TF_CPP_MIN_LOG_LEVEL'])"
        )
        inherited = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
        environment = {**inherited, **environment}
        return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)

    return run


def test_information_is_left_out_and_errors_are_shown(import_fake):
    done = import_fake()
    assert done.stderr == "E0000 00:00:1.2 cuda.cc:52] no driver\nafter\n"
    assert done.stdout == "2\n"


def test_the_users_own_level_wins(import_fake):
    assert "oneDNN" in import_fake(TF_CPP_MIN_LOG_LEVEL="0").stderr
    assert import_fake(TF_CPP_MIN_LOG_LEVEL="1").stdout == "1\n"


def test_last_words_are_shown(import_fake):
    done = import_fake(DIE="1")
    assert done.returncode < 0
    assert "needs AVX" in done.stderr
