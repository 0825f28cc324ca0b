# exit: 3 | says: starts other programs | journal: fence | why: a fresh process has no fences
import multiprocessing

multiprocessing.get_context("spawn").Process(target=print).start()
