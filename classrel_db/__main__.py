from classrel_db.cli import main

main()
