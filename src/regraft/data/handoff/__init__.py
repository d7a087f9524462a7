"""What a data team hands in: a drop is read, judged row by row, compared with the data that is there, and written as its next version.

Nothing here knows a workspace, DVC or git; :mod:`regraft.production.handoff` puts it together.
"""
