"""What is shown goes to standard error; markup in it is text."""

from types import SimpleNamespace

from noisewise.commands.console import TrainingDisplay, progress_bar, say


def test_lines_go_to_standard_error_as_they_are(capsys):
    line = "a [bold]file[/bold] [/x].wav " + "long " * 60
    say(line)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"{line}\n"


def test_training_is_a_line_at_each_validation(capsys):
    phase = SimpleNamespace(name="encoder", steps=4)
    with progress_bar() as bar:
        display = TrainingDisplay(bar)
        display(phase, 1, {"loss": 0.5})
        display(phase, 2, {"loss": 0.25, "val_clean": 0.75, "val_score": 0.5})
        display(phase, 3, {})
        task = bar.tasks[0]
    assert (task.completed, task.total, len(bar.tasks)) == (3, 4, 1)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == ("encoder 2/4: loss 0.250, validation clean 0.750, score 0.500\n")
