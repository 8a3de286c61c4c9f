"""What administrators do: organizations, projects, members, keys, limits, books and the audit trail.

A module a noun. Each service checks what the actor's role allows, acts inside the actor's organization
alone, and writes the row of the audit trail in the transaction of the change.
"""
