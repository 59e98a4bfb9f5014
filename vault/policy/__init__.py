"""Who may do what with which field: the policy file, its checks, and the decision."""
