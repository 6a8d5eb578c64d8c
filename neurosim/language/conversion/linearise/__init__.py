"""Softmax attention replaced by linear kinds: layers matched, then the whole model tuned (LoLCATs, Lizard, mmMamba).

student = make_student(teacher, ("window_linear",))
Linearisation(teacher, student, tokens).run(lambda model: compare_windows(teacher, model, held_out, 256))
"""
